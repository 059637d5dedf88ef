"""Queries of the registry."""

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from engine.features import FEATURE_VERSION
from learning.choice import ModelChoice
from learning.models import ModelVersion, Promotion, PromotionKind, TrainingTask
from market.models import Symbol

# An unfinished training that began this long ago is taken again: its process was killed.
ABANDONED_AFTER = timedelta(hours=1)


def versions_named(symbol: Symbol, interval: str, name: str) -> "QuerySet[ModelVersion]":
    """The versions of a model (`learning.choice.ModelChoice` as text) in a market, newest first."""
    return ModelVersion.objects.filter(symbol=symbol, interval=interval, name=str(ModelChoice.named(name))).order_by(
        "-pk"
    )


def newest_version(symbol: Symbol, interval: str, name: str) -> ModelVersion | None:
    return versions_named(symbol, interval, name).first()


def is_missing(symbol: Symbol, interval: str, name: str) -> bool:
    """Whether no version of that name uses the present definition of the features."""
    return not versions_named(symbol, interval, name).filter(features__version=FEATURE_VERSION).exists()


def champion(symbol: Symbol, interval: str, name: str) -> ModelVersion | None:
    """The version that is used for decisions."""
    return versions_named(symbol, interval, name).filter(status=ModelVersion.Status.CHAMPION).first()


def challengers(symbol: Symbol, interval: str, name: str) -> "QuerySet[ModelVersion]":
    return versions_named(symbol, interval, name).filter(status=ModelVersion.Status.CHALLENGER)


def promotions(symbol: Symbol, interval: str, name: str) -> "QuerySet[Promotion]":
    """The changes of champion, newest first."""
    return Promotion.objects.filter(symbol=symbol, interval=interval, name=str(ModelChoice.named(name))).order_by("-pk")


def predecessor(version: ModelVersion) -> ModelVersion | None:
    """The champion before the promotion of this version. Roll-backs to this version do not count."""
    promoted = Promotion.objects.filter(version=version).exclude(kind=PromotionKind.ROLLED_BACK).order_by("-pk").first()
    return promoted.replaced if promoted else None


def serving_candidates(symbol: str, interval: str, name: str, before: datetime) -> list[ModelVersion]:
    """The versions that may predict a candle: the champion, then former champions, newest first.

    Their training data ends before the open time of the candle. Former champions are used where the champion cannot be
    loaded and for older candles, but not after a roll-back.
    """
    failed = Promotion.objects.filter(kind=PromotionKind.ROLLED_BACK, replaced__isnull=False).values("replaced")
    past = Q(status=ModelVersion.Status.RETIRED, promotions__isnull=False) & ~Q(pk__in=failed)
    versions = (
        ModelVersion.objects.filter(Q(status=ModelVersion.Status.CHAMPION) | past)
        .filter(symbol__symbol=symbol, interval=interval, name=str(ModelChoice.named(name)), last_time__lt=before)
        .distinct()
    )
    return sorted(versions, key=lambda version: (version.status == ModelVersion.Status.CHAMPION, version.pk))[::-1]


def waiting_trainings() -> "QuerySet[TrainingTask]":
    """Unfinished trainings, oldest first: those not started, and abandoned ones."""
    not_begun = Q(started_at=None) | Q(started_at__lt=timezone.now() - ABANDONED_AFTER)
    return TrainingTask.objects.filter(not_begun, finished_at=None).select_related("symbol").order_by("pk")
