"""A SQLite database as it is in life."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection


@pytest.fixture
def on_disk(transactional_db, tmp_path: Path) -> Iterator[None]:
    """For tests with several connections: those to a database in memory lock each other in a way no file does."""
    if connection.vendor != "sqlite":
        yield
        return
    memory, name = connection.connection, connection.settings_dict["NAME"]
    with sqlite3.connect(tmp_path / "test.sqlite3") as copy:
        memory.backup(copy)
    copy.close()
    connection.connection, connection.settings_dict["NAME"] = None, str(tmp_path / "test.sqlite3")
    yield
    connection.close()
    connection.connection, connection.settings_dict["NAME"] = memory, name
