"""The states of the agents of a user, and their log lines."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from trading.models.messages import AgentType


class AgentState(models.Model):
    """The state of one agent of one user."""

    class Status(models.TextChoices):
        RUNNING = "RUNNING"
        STOPPED = "STOPPED"
        ERROR = "ERROR"
        IDLE = "IDLE"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="agent_states")
    agent_type = models.CharField(max_length=14, choices=AgentType)
    status = models.CharField(max_length=7, choices=Status, default=Status.STOPPED)
    last_activity = models.DateTimeField(null=True)
    error_message = models.TextField(blank=True)
    metadata = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "agent_type"], name="trading_agent_state_is_unique")]

    def __str__(self) -> str:
        return f"{self.agent_type} of {self.user}: {self.status}"


class AgentLog(models.Model):
    """A log line about what an agent did."""

    class Level(models.TextChoices):
        INFO = "INFO"
        WARNING = "WARNING"
        ERROR = "ERROR"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False, related_name="agent_logs"
    )
    agent_type = models.CharField(max_length=14, choices=AgentType)
    level = models.CharField(max_length=7, choices=Level, default=Level.INFO)
    message = models.TextField()
    correlation_id = models.UUIDField(null=True)
    timestamp = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["user", "agent_type", "-id"], name="trading_agent_log_latest")]

    def __str__(self) -> str:
        return self.message
