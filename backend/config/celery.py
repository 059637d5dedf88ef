"""Celery: it wakes agents up and keeps the clock. What has to be done stands in the database."""

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
    """Celery would connect anew for each task, which takes longer than most of them (CELERY_DB_REUSE_MAX).

    As after a request, one that is old is closed, and the next task first asks whether it still answers. None is kept
    after a task that failed: a time limit may have struck in the middle of a statement.
    """
    if state == states.SUCCESS:
        close_old_connections()
    else:
        connections.close_all()


@worker_before_create_process.connect
def settle_before_fork(**_: Any) -> None:
    """Pages that no child has to look through for garbage stay shared with it."""
    from trading.runtime.loop import settle  # not above: Django is set up by then

    settle()
