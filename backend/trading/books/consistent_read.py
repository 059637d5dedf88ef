"""Reads from one snapshot of the database, while others write."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def one_view() -> Iterator[None]:
    """Every read inside uses the state at the first of them. It blocks no writer; nothing may be written.

    Inside a transaction of the caller, that transaction's state is used.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "sqlite":
        with _deferred():
            yield
    else:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield


@contextmanager
def _deferred() -> Iterator[None]:
    # Not atomic(), which begins with the setting's IMMEDIATE: that takes the one write lock, and agents would wait.
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        try:
            cursor.execute("PRAGMA query_only = ON")
            yield
        finally:
            cursor.execute("PRAGMA query_only = OFF")
            cursor.execute("ROLLBACK")
