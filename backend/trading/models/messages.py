"""The Message table: the only connection between the agents."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from market.models import Symbol
from trading.models.accounts import Account


class AgentType(models.TextChoices):
    MARKET_MONITOR = "MARKET_MONITOR"
    DECISION_MAKER = "DECISION_MAKER"
    EXECUTION = "EXECUTION"


class Message(models.Model):
    """A fact that one agent publishes for another. Only the delivery columns change: those from `processed_at` on."""

    class Type(models.TextChoices):
        MARKET_SNAPSHOT = "MARKET_SNAPSHOT"
        TRADE_DECISION = "TRADE_DECISION"
        EXECUTION_REPORT = "EXECUTION_REPORT"

    key = models.CharField(max_length=64, unique=True)
    type = models.CharField(max_length=16, choices=Type)
    sender = models.CharField(max_length=14, choices=AgentType)
    recipient = models.CharField(max_length=14, choices=AgentType, blank=True)
    payload = models.JSONField()
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, db_index=False, related_name="+")
    interval = models.CharField(max_length=3)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, null=True, related_name="messages")
    caused_by = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="effects")
    correlation_id = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField(default=timezone.now)
    parked_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        indexes = [
            # `database.claim` selects from it: the messages that wait, in order.
            models.Index(
                fields=["recipient", "id"],
                name="trading_message_waiting",
                condition=Q(processed_at__isnull=True, parked_at__isnull=True),
            ),
            models.Index(
                fields=["symbol", "interval", "id"],
                name="trading_message_stream",
                condition=Q(processed_at__isnull=True, parked_at__isnull=True),
            ),
            # Messages that need an operator: the status page, readiness and the admin query them.
            models.Index(fields=["id"], name="trading_message_parked", condition=Q(parked_at__isnull=False)),
            # The lists of the API count with these two alone: the messages of an account, and those of all.
            models.Index(fields=["account", "-id", "type"], name="trading_message_own"),
            models.Index(
                fields=["symbol", "type", "-id"], name="trading_message_shared", condition=Q(account__isnull=True)
            ),
            models.Index(fields=["symbol", "type", "-id"], name="trading_message_symbol"),
            models.Index(fields=["correlation_id"], name="trading_message_cycle"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(processed_at__isnull=True) | Q(parked_at__isnull=True),
                name="trading_message_is_processed_or_parked",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.pk} {self.symbol}"
