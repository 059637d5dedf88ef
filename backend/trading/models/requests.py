"""Requests of users, stored so that each is executed once."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from market.models import Symbol
from trading.models.accounts import Account


class RefreshRequest(models.Model):
    """A user's request to poll a market now. Rows of one request share a `task_id`."""

    task_id = models.UUIDField()
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="refresh_requests")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="+")
    interval = models.CharField(max_length=3)
    requested_at = models.DateTimeField(default=timezone.now)
    looked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # `trading.live.refresh` queries it in every cycle.
            models.Index(
                fields=["symbol", "interval"], name="trading_refresh_waiting", condition=Q(looked_at__isnull=True)
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["task_id", "symbol"], name="trading_refresh_is_unique")]

    def __str__(self) -> str:
        return f"poll {self.symbol} {self.interval}"


class IdempotentAnswer(models.Model):
    """The response to a client's order. It is written with the trade, so a repeated request finds it."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="trading_answer_age")]
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="trading_answer_once_per_key")]

    def __str__(self) -> str:
        return self.key
