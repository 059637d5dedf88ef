"""Reads of the registry."""

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from engine.features import FEATURE_VERSION
from learning.choice import ModelChoice
from learning.models import ModelVersion, Promotion, TrainingTask
from market.models import Symbol

# A training that began this long ago is not going on any more: its process was killed.
GIVEN_UP = timedelta(hours=1)


def versions_named(symbol: Symbol, interval: str, name: str) -> "QuerySet[ModelVersion]":
    """The versions of a model (`learning.choice.ModelChoice` as text) in a market, newest first."""
    return ModelVersion.objects.filter(symbol=symbol, interval=interval, name=str(ModelChoice.named(name))).order_by(
        "-pk"
    )


def newest_version(symbol: Symbol, interval: str, name: str) -> ModelVersion | None:
    return versions_named(symbol, interval, name).first()


def is_missing(symbol: Symbol, interval: str, name: str) -> bool:
    """Whether nothing was trained under that name on features as they are computed today."""
    return not versions_named(symbol, interval, name).filter(features__version=FEATURE_VERSION).exists()


def champion(symbol: Symbol, interval: str, name: str) -> ModelVersion | None:
    """The version that decides."""
    return versions_named(symbol, interval, name).filter(status=ModelVersion.Status.CHAMPION).first()


def challengers(symbol: Symbol, interval: str, name: str) -> "QuerySet[ModelVersion]":
    return versions_named(symbol, interval, name).filter(status=ModelVersion.Status.CHALLENGER)


def promotions(symbol: Symbol, interval: str, name: str) -> "QuerySet[Promotion]":
    """The changes of champion, newest first."""
    return Promotion.objects.filter(symbol=symbol, interval=interval, name=str(ModelChoice.named(name))).order_by("-pk")


def predecessor(version: ModelVersion) -> ModelVersion | None:
    """Who decided before this version earned it. A roll-back to it does not count: it came from a worse one."""
    earned = Promotion.objects.filter(version=version).exclude(kind=Promotion.Kind.ROLLED_BACK).order_by("-pk").first()
    return earned.replaced if earned else None


def servants(symbol: str, interval: str, name: str, before: datetime) -> list[ModelVersion]:
    """Who may answer for a candle: the champion, then those who decided before it, the latest first.

    None that has seen the candle: their history ends before its open time. Retired versions stand in where the champion
    cannot be loaded, and where an older candle is asked about; not those that were rolled back.
    """
    failed = Promotion.objects.filter(kind=Promotion.Kind.ROLLED_BACK, replaced__isnull=False).values("replaced")
    past = Q(status=ModelVersion.Status.RETIRED, promotions__isnull=False) & ~Q(pk__in=failed)
    versions = (
        ModelVersion.objects.filter(Q(status=ModelVersion.Status.CHAMPION) | past)
        .filter(symbol__symbol=symbol, interval=interval, name=str(ModelChoice.named(name)), last_time__lt=before)
        .distinct()
    )
    return sorted(versions, key=lambda version: (version.status == ModelVersion.Status.CHAMPION, version.pk))[::-1]


def waiting_trainings() -> "QuerySet[TrainingTask]":
    """The oldest first; one whose process died in it is waiting again."""
    not_begun = Q(started_at=None) | Q(started_at__lt=timezone.now() - GIVEN_UP)
    return TrainingTask.objects.filter(not_begun, finished_at=None).select_related("symbol").order_by("pk")
