import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from config import embedded
from config.embedded import prepare_embedded_database

BACKEND_DIR = Path(__file__).resolve().parents[2]
PREPARE = "import django; django.setup(); from config.embedded import prepare_embedded_database as p; p()"


def start(database: Path) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.defpath,
        "DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    command = [sys.executable, "-c", PREPARE]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=BACKEND_DIR, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_processes_that_start_at_once_make_one_quiet_complete_database(tmp_path: Path):
    database = tmp_path / "new.sqlite3"
    processes = [start(database) for _ in range(4)]
    assert [process.communicate() for process in processes] == [("", "")] * 4
    assert [process.returncode for process in processes] == [0] * 4
    with sqlite3.connect(database) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        applied = file.execute("SELECT app, name FROM django_migrations").fetchall()
    file.close()
    assert ("accounts", "0001_initial") in applied
    assert len(applied) == len(set(applied))


@pytest.mark.django_db
def test_it_leaves_a_complete_database_alone(monkeypatch: pytest.MonkeyPatch):
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(embedded, "call_command", lambda *arguments, **_: called.append(arguments))
    embedded.prepare_embedded_database()
    assert called == []


@pytest.mark.django_db
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="about PostgreSQL")
def test_it_asks_the_operator_of_postgresql_to_migrate():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'accounts'")
    with pytest.raises(CommandError, match=r"run \./photon migrate"):
        embedded.prepare_embedded_database()


@pytest.mark.django_db
def test_a_database_of_another_version_is_refused() -> None:
    MigrationRecorder(connection).record_applied("trading", "0005_rule_based_fallback")
    with pytest.raises(CommandError, match=r"another version of Photon .* trading\.0005_rule_based_fallback"):
        prepare_embedded_database()
