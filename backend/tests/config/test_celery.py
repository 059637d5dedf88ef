"""A task finds the database connected, and never a connection that is no good any more."""

import pytest
from celery import states
from django.db import connection, connections

from config.celery import keep_connection

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="workers need PostgreSQL"),
]


def backend_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def end(backend: int) -> None:
    """As when PostgreSQL is started anew."""
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
    other.close()


def test_the_next_task_works_on_the_connection_of_the_last() -> None:
    known = backend_id()
    keep_connection(state=states.SUCCESS)
    assert backend_id() == known


@pytest.mark.parametrize("state", [states.FAILURE, states.RETRY])
def test_a_task_that_failed_leaves_none(state: str) -> None:
    known = backend_id()
    keep_connection(state=state)
    assert connection.connection is None
    assert backend_id() != known


def test_a_connection_that_was_ended_between_two_tasks_is_replaced() -> None:
    known = backend_id()
    keep_connection(state=states.SUCCESS)
    end(known)
    assert backend_id() != known
