"""Celery: it wakes agents up and keeps the clock. What has to be done stands in the database."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("photon")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
