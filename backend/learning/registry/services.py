"""Writes of the registry: training and registration of versions, and changes of champion."""

import logging
import zlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pandas as pd
from django.db import transaction

from engine.features import FEATURE_VERSION
from learning.choice import ModelChoice
from learning.models import ModelArtefact, ModelVersion, Promotion, PromotionKind
from learning.registry.export import export
from learning.registry.selectors import champion, predecessor, promotions
from learning.registry.stored import content_hash, load
from learning.training.fit import TrainingError
from learning.training.recipes import Recipe
from learning.training.train import TrainingResult, train_and_score
from learning.trees.artefacts import artefact_hash
from market.models import Symbol
from market.selectors import latest_candles

logger = logging.getLogger(__name__)

Make = Callable[[Recipe, pd.DataFrame, bool], TrainingResult]

MOST_CANDLES = 100_000
"""The newest candles that a recipe without a window trains on: ten weeks of minutes, eleven years of hours. A random
forest needs two minutes and a gigabyte for them.
"""


def train_version(
    symbol: Symbol, interval: str, recipe: Recipe, searched: bool = False, make: Make = train_and_score
) -> ModelVersion:
    """Trains on the stored candles of a market; the same candles give the same version. Raises TrainingError.

    The first version of a name becomes the champion, every other one a challenger.
    """
    candles = latest_candles(symbol, interval, max(MOST_CANDLES, recipe.window or 0))
    if candles.empty:
        raise TrainingError(f"no candles of {symbol} at {interval} are stored")
    logger.info("Training %s for %s at %s on %s candles", recipe.algorithm, symbol, interval, len(candles))
    return register(symbol, interval, make(recipe, candles, searched))


def register(symbol: Symbol, interval: str, result: TrainingResult) -> ModelVersion:
    """Stores a training result as a version; an equal version that exists is returned, and repaired if damaged."""
    fields, packed = _fields(result), zlib.compress(result.artefact, 9)
    made = ModelVersion(symbol=symbol, interval=interval, **fields)
    with transaction.atomic():
        _lock(symbol)
        version, is_new = ModelVersion.objects.get_or_create(
            symbol=symbol,
            interval=interval,
            content_hash=content_hash(made),
            defaults=fields,
        )
        if is_new or not _is_usable(version):
            _store(version, fields, packed)
            transaction.on_commit(lambda: export(version, result.artefact))
        if is_new:
            _install_if_needed(version)
    return version


def promote(version: ModelVersion, reason: str) -> Promotion:
    """Makes a version the champion. Raises ModelUnusable where it cannot be loaded."""
    load(version)
    with transaction.atomic():
        _lock(version.symbol)
        current = champion(version.symbol, version.interval, version.name)
        if current == version:
            raise ValueError(f"{version} is the champion already")
        return _install(version, current, PromotionKind.PROMOTED, reason)


def roll_back(version: ModelVersion, reason: str) -> Promotion:
    """Replaces a champion by the newest former one that can be loaded; without one the market has no champion.

    Raises ValueError where the version is not the champion.
    """
    earlier = predecessor(version)
    while earlier is not None and not _is_usable(earlier):
        earlier = predecessor(earlier)
    with transaction.atomic():
        _lock(version.symbol)
        if champion(version.symbol, version.interval, version.name) != version:
            raise ValueError(f"{version} is not the champion")
        return _install(earlier, version, PromotionKind.ROLLED_BACK, reason)


def retire(version: ModelVersion) -> None:
    """Retires a challenger. A champion is changed only by `promote` and `roll_back`."""
    challenging = ModelVersion.objects.filter(pk=version.pk, status=ModelVersion.Status.CHALLENGER)
    challenging.update(status=ModelVersion.Status.RETIRED)


def _fields(result: TrainingResult) -> dict[str, Any]:
    recipe = result.recipe
    return {
        "name": str(ModelChoice(recipe.algorithm.value, recipe.horizon, recipe.window)),
        "algorithm": recipe.algorithm.value,
        "recipe": asdict(recipe),
        "features": dict(result.features),
        "profile": dict(result.profile),
        "first_time": result.first_time,
        "last_time": result.last_time,
        "rows": sum(result.class_counts),
        "class_counts": list(result.class_counts),
        "scores": dict(result.scores),
        "calibration": result.calibration.to_json(),
        "data_hash": result.data_hash,
        "artefact_hash": artefact_hash(result.artefact),
    }


def _store(version: ModelVersion, fields: dict[str, Any], packed: bytes) -> None:
    """Writes the artefact of a version, and restores the fields of a damaged one."""
    ModelVersion.objects.filter(pk=version.pk).update(**fields)
    for name, value in fields.items():
        setattr(version, name, value)
    ModelArtefact.objects.update_or_create(version=version, defaults={"content": packed})


def _install_if_needed(version: ModelVersion) -> None:
    """Makes a version the champion if it is the first of its name, or if the champion uses older features.

    After a roll-back without a successor the next version is a challenger like any other.
    """
    current = champion(version.symbol, version.interval, version.name)
    if current is not None and current.features.get("version") != FEATURE_VERSION:
        _install(version, current, PromotionKind.PROMOTED, "the champion learned from features of an older version")
    elif not promotions(version.symbol, version.interval, version.name).exists():
        _install(version, None, PromotionKind.FIRST, "the first model of its name")


def _install(version: ModelVersion | None, replaced: ModelVersion | None, kind: str, reason: str) -> Promotion:
    one = version or replaced
    assert one is not None  # noqa: S101
    if replaced is not None:
        # First: a unique index allows one champion at any moment.
        ModelVersion.objects.filter(pk=replaced.pk).update(status=ModelVersion.Status.RETIRED)
        replaced.status = ModelVersion.Status.RETIRED
    if version is not None:
        ModelVersion.objects.filter(pk=version.pk).update(status=ModelVersion.Status.CHAMPION)
        version.status = ModelVersion.Status.CHAMPION
    return Promotion.objects.create(
        symbol=one.symbol,
        interval=one.interval,
        name=one.name,
        version=version,
        replaced=replaced,
        kind=kind,
        reason=reason,
    )


def _lock(symbol: Symbol) -> None:
    """Serialises changes of champion without blocking decisions on the symbol. SQLite has one writer anyway."""
    Symbol.objects.select_for_update(no_key=True).get(pk=symbol.pk)


def _is_usable(version: ModelVersion) -> bool:
    try:
        load(version)
    except TrainingError as error:
        logger.warning("%s cannot be loaded: %s", version, error)
        return False
    return True
