"""Two connections at once: what one does while the other waits for it. On PostgreSQL alone."""

from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic, sleep
from typing import Any

from django.db import connection

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
PATIENCE_SECONDS = 10.0


def in_a_thread(act: Callable[[], Any]) -> Any:
    try:
        return act()
    finally:
        connection.close()


def until_it_waits(other: Future[Any]) -> None:
    """Until the other thread stands before a lock."""
    until = monotonic() + PATIENCE_SECONDS
    while monotonic() < until:
        assert not other.done()
        with connection.cursor() as cursor:
            # Or a transaction would see what it saw the first time.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(WAITING)
            if cursor.fetchone() == (1,):
                return
        sleep(0.01)
    raise AssertionError("it waited for nothing")
