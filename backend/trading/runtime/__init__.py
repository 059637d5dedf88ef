"""Processes: all agents wired together, the loop, Celery's tasks, the stream, and requests of users."""
