"""The registry of models."""

from django.db import models
from django.utils import timezone

from market.models import Symbol


class ModelVersion(models.Model):
    """A model as what it takes to make it again: its recipe and the stored candles it was trained on.

    Candles never change once stored, and training is deterministic, so a worker that needs the model fits it anew and
    `content_hash` says whether it got the same one.
    """

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="models")
    interval = models.CharField(max_length=3)
    algorithm = models.CharField(max_length=20)
    recipe = models.JSONField()
    first_time = models.DateTimeField()
    last_time = models.DateTimeField()
    rows = models.PositiveIntegerField()
    content_hash = models.CharField(max_length=64)
    scores = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["symbol", "interval", "algorithm", "-id"], name="learning_model_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "interval", "content_hash"], name="learning_model_version_is_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.algorithm} {self.symbol} {self.interval} {self.content_hash[:8]}"
