"""The embedded SQLite database is created and migrated on demand; PostgreSQL is migrated by its operator."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder


def prepare_embedded_database() -> None:
    """Bring the embedded database up to date; on PostgreSQL raise CommandError when migrations are missing."""
    if not _migrations_are_missing():
        return
    if connection.vendor != "sqlite":
        raise CommandError("the database is not up to date: run ./photon migrate")
    with _one_process_at_a_time():
        # Another process may have migrated while this one waited.
        if _migrations_are_missing():
            call_command("migrate", interactive=False, verbosity=0)


def _migrations_are_missing() -> bool:
    recorded = MigrationRecorder(connection).applied_migrations()
    files = {
        (app.label, file.stem)
        for app in apps.get_app_configs()
        for file in Path(app.path, "migrations").glob("[!_]*.py")
    }
    if unknown := {(label, name) for label, name in recorded if label in settings.PROJECT_APPS} - files:
        raise CommandError(
            f"the database was made by another version of Photon (it has the migration {'.'.join(min(unknown))}): "
            "move it away or name another one in DATABASE_URL"
        )
    if files <= recorded.keys():
        # To import them all, as Django does, takes as long as a thousand candles.
        return False
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


@contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    if connection.is_in_memory_db():  # type: ignore[attr-defined]  # of SQLite
        # Private to this process, and its name is not a path.
        yield
        return
    database = Path(str(connection.settings_dict["NAME"]))
    with database.with_name(f"{database.name}.migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
