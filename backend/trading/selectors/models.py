"""Reads of model versions, trainings and promotions."""

import uuid
from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Count, QuerySet
from django.http import Http404

from learning.models import ModelVersion, Promotion, TrainingTask
from trading.models import Account, Decision
from trading.selectors.symbols import followed_symbols


def model_versions(account: Account) -> "QuerySet[ModelVersion]":
    """Newest first."""
    symbols = list(followed_symbols(account).values_list("pk", flat=True))
    return ModelVersion.objects.filter(symbol__in=symbols).select_related("symbol").order_by("-pk")


def training_task(account: Account, task_id: str) -> TrainingTask:
    """A training requested by the account's user. Raises Http404."""
    try:
        asked = TrainingTask.objects.filter(user=account.user_id, task_id=uuid.UUID(task_id))
    except ValueError:
        asked = TrainingTask.objects.none()
    if (task := asked.select_related("symbol").first()) is None:
        raise Http404("no such task")
    return task


@dataclass(frozen=True, slots=True)
class Learning:
    """All versions of one model name in a market. `decisions`: the number of decisions by content hash."""

    symbol: str
    interval: str
    name: str
    versions: list[ModelVersion]
    changes: list[Promotion]
    decisions: dict[str, int]

    @property
    def champion(self) -> ModelVersion | None:
        return next((it for it in self.versions if it.status == ModelVersion.Status.CHAMPION), None)

    @property
    def challengers(self) -> list[ModelVersion]:
        return [it for it in self.versions if it.status == ModelVersion.Status.CHALLENGER]


def learning_of(symbol: str | None = None) -> list[Learning]:
    """One entry for each market and model name, of all symbols or of one; newest version first."""
    chosen = {} if symbol is None else {"symbol__symbol": symbol}
    versions = ModelVersion.objects.filter(**chosen).select_related("symbol").order_by("-pk")
    changes = list(Promotion.objects.filter(**chosen).select_related("version", "replaced").order_by("-pk"))
    counted = Decision.objects.values("model_version").annotate(count=Count("pk")).order_by()
    decisions = {row["model_version"]: row["count"] for row in counted}
    found: dict[tuple[str, str, str], list[ModelVersion]] = defaultdict(list)
    for version in versions:
        found[version.symbol.symbol, version.interval, version.name].append(version)
    return [
        Learning(
            *market,
            versions=of_name,
            changes=[it for it in changes if (it.symbol_id, it.interval, it.name) == _market(of_name[0])],
            decisions={it.content_hash: decisions.get(it.content_hash, 0) for it in of_name},
        )
        for market, of_name in sorted(found.items())
    ]


def _market(version: ModelVersion) -> tuple[int, str, str]:
    return version.symbol_id, version.interval, version.name
