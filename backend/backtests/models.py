"""Runs of backtests and what came out of them."""

from functools import partial

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from backtests.exact_json import ExactDecoder, ExactEncoder

# As many symbols of 20 characters as can share an account, with commas between them.
LONGEST_SYMBOLS = 21 * 50

ExactJSONField = partial(models.JSONField, encoder=ExactEncoder, decoder=ExactDecoder)


class Status(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = (Status.DONE, Status.FAILED, Status.CANCELLED)


class BacktestRun(models.Model):
    """One run. Symbols and interval are texts: a run on files does not need stored instruments.

    The equity is thinned to 2,000 points; the options give the run again, to the last digit.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="backtests",
        # The index (user, -created) serves it.
        db_index=False,
    )
    symbol = models.CharField(max_length=LONGEST_SYMBOLS)
    interval = models.CharField(max_length=3)
    start = models.DateTimeField(null=True)
    end = models.DateTimeField(null=True)
    model = models.CharField(max_length=20)
    seed = models.BigIntegerField()
    options = ExactJSONField()
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.QUEUED)
    progress = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    created = models.DateTimeField(default=timezone.now)
    started = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)
    summary = ExactJSONField(null=True)
    metrics = ExactJSONField(null=True)
    trades = ExactJSONField(null=True)
    equity = ExactJSONField(null=True)

    class Meta:
        ordering = ["-created"]
        indexes = [
            # The list of a user's runs, newest first.
            models.Index(fields=["user", "-created"], name="backtests_run_user_newest"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="backtests_run_status_is_known"),
            models.CheckConstraint(condition=Q(progress__lte=100), name="backtests_run_progress_is_percent"),
            models.CheckConstraint(
                condition=Q(status__in=FINISHED, finished__isnull=False)
                | (~Q(status__in=FINISHED) & Q(finished__isnull=True)),
                name="backtests_run_is_finished_at_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.DONE)
                | Q(metrics__isnull=False, trades__isnull=False, equity__isnull=False, summary__isnull=False),
                name="backtests_run_done_has_results",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.FAILED) | ~Q(error=""), name="backtests_run_failed_has_an_error"
            ),
            models.CheckConstraint(
                condition=Q(start__isnull=True) | Q(end__isnull=True) | Q(start__lte=models.F("end")),
                name="backtests_run_starts_before_its_end",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.model} ({self.status})"
