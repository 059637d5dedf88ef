"""Celery's app: it wakes workers and runs the schedule. The work itself is stored in the database."""

import os
from typing import Any

from celery import Celery, states
from celery.signals import task_postrun, worker_before_create_process
from django.db import close_old_connections, connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("photon")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["trading.runtime"])


@task_postrun.connect
def keep_connection(state: str | None = None, **_: Any) -> None:
    """Keeps the connection for the next task: a new one takes longer than most tasks (CELERY_DB_REUSE_MAX).

    As after a request, an old one is closed, and the next task checks it first. A failed task leaves none: a time limit
    may have interrupted a statement.
    """
    if state == states.SUCCESS:
        close_old_connections()
    else:
        connections.close_all()


@worker_before_create_process.connect
def freeze_before_fork(**_: Any) -> None:
    """Memory pages that no child collects garbage in stay shared with it."""
    from trading.runtime.loop import freeze_garbage  # not above: Django is set up by then

    freeze_garbage()
