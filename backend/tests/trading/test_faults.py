"""Killed workers, an emptied broker and tasks that come twice: the books of a disturbed run are those of a calm one.

The short form of benchmarks/faults.py, with real Celery workers on PostgreSQL and a Redis of its own.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "faults.py"


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "postgresql", reason="Celery workers need PostgreSQL")
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
def test_the_books_survive_kills_a_lost_broker_and_duplicates() -> None:
    database = connection.settings_dict
    user = database["USER"] + (f":{database['PASSWORD']}" if database["PASSWORD"] else "")
    server = f"postgres://{user}@{database['HOST'] or 'localhost'}:{database['PORT'] or 5432}/postgres"
    command = [sys.executable, str(SCRIPT), server, "--kills", "6", "--candles", "100"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
