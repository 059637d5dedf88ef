"""The loop, Celery tasks, heartbeats and housekeeping."""
