"""Writes of the registry: training of models that are kept, and who of them decides."""

import logging
import zlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pandas as pd
from django.db import transaction

from engine.features import FEATURE_VERSION
from learning.choice import ModelChoice
from learning.models import ModelArtefact, ModelVersion, Promotion
from learning.registry.content import content_hash
from learning.registry.export import export
from learning.registry.selectors import champion, predecessor, promotions
from learning.registry.stored import load
from learning.training.fit import TrainingError
from learning.training.making import Made, make_model
from learning.training.recipes import Recipe
from learning.trees.artefacts import content
from market.models import Symbol
from market.selectors import latest_candles

logger = logging.getLogger(__name__)

Make = Callable[[Recipe, pd.DataFrame, bool], Made]

MOST_CANDLES = 100_000
"""So many of the newest are learned from where a recipe names no number: ten weeks of minutes, eleven years of hours. A
forest takes two minutes and a gigabyte for them, and would go on growing with every candle that is kept.
"""


def train_version(
    symbol: Symbol, interval: str, recipe: Recipe, searched: bool = False, make: Make = make_model
) -> ModelVersion:
    """Trains on the stored candles of a market; the same candles give the same version. Raises TrainingError.

    The first version of its name decides from then on; every other one is a challenger.
    """
    candles = latest_candles(symbol, interval, max(MOST_CANDLES, recipe.window or 0))
    if candles.empty:
        raise TrainingError(f"no candles of {symbol} at {interval} are stored")
    logger.info("Training %s for %s at %s on %s candles", recipe.algorithm, symbol, interval, len(candles))
    return register(symbol, interval, make(recipe, candles, searched))


def register(symbol: Symbol, interval: str, made: Made) -> ModelVersion:
    """The version of what was made; the one that is there where the same was made before."""
    fields, packed = _fields(made), zlib.compress(made.artefact, 9)
    with transaction.atomic():
        _lock(symbol)
        version, is_new = ModelVersion.objects.get_or_create(
            symbol=symbol,
            interval=interval,
            content_hash=content_hash(made.manifest(symbol.symbol, interval)),
            defaults=fields,
        )
        if is_new or not _is_usable(version):
            _store(version, fields, packed)
            transaction.on_commit(lambda: export(version, made.artefact))
        if is_new:
            _install_if_nobody_can(version)
    return version


def promote(version: ModelVersion, reason: str) -> Promotion:
    """Makes a version the one that decides. Raises ModelUnusable where it cannot be loaded: the old champion stays."""
    load(version)
    with transaction.atomic():
        _lock(version.symbol)
        current = champion(version.symbol, version.interval, version.name)
        if current == version:
            raise ValueError(f"{version} is the champion already")
        return _install(version, current, Promotion.Kind.PROMOTED, reason)


def roll_back(version: ModelVersion, reason: str) -> Promotion:
    """Retires a champion for the one before it that can still be loaded; for nobody if there is none.

    Raises ValueError if the version is not the champion (any more).
    """
    earlier = predecessor(version)
    while earlier is not None and not _is_usable(earlier):
        earlier = predecessor(earlier)
    with transaction.atomic():
        _lock(version.symbol)
        if champion(version.symbol, version.interval, version.name) != version:
            raise ValueError(f"{version} is not the champion")
        return _install(earlier, version, Promotion.Kind.ROLLED_BACK, reason)


def retire(version: ModelVersion) -> None:
    """A challenger that has lost. The champion leaves by `promote` and `roll_back` alone."""
    challenging = ModelVersion.objects.filter(pk=version.pk, status=ModelVersion.Status.CHALLENGER)
    challenging.update(status=ModelVersion.Status.RETIRED)


def _fields(made: Made) -> dict[str, Any]:
    recipe = made.recipe
    return {
        "name": str(ModelChoice(recipe.algorithm.value, recipe.horizon, recipe.window)),
        "algorithm": recipe.algorithm.value,
        "recipe": asdict(recipe),
        "features": dict(made.features),
        "profile": dict(made.profile),
        "first_time": made.first_time,
        "last_time": made.last_time,
        "rows": sum(made.class_counts),
        "class_counts": list(made.class_counts),
        "scores": dict(made.scores),
        "calibration": made.calibration.to_json(),
        "data_hash": made.data_hash,
        "artefact_hash": content(made.artefact),
    }


def _store(version: ModelVersion, fields: dict[str, Any], packed: bytes) -> None:
    """The artefact of a new version; a version that was damaged becomes what its hash says it was."""
    ModelVersion.objects.filter(pk=version.pk).update(**fields)
    for name, value in fields.items():
        setattr(version, name, value)
    ModelArtefact.objects.update_or_create(version=version, defaults={"content": packed})


def _install_if_nobody_can(version: ModelVersion) -> None:
    """The first of a name decides at once, and so does one whose champion learned from features of an older kind.

    Where a champion was rolled back and nobody took its place, the next one has to earn it like any other.
    """
    current = champion(version.symbol, version.interval, version.name)
    if current is not None and current.features.get("version") != FEATURE_VERSION:
        _install(version, current, Promotion.Kind.PROMOTED, "the champion learned from features of an older version")
    elif not promotions(version.symbol, version.interval, version.name).exists():
        _install(version, None, Promotion.Kind.FIRST, "the first model of its name")


def _install(version: ModelVersion | None, replaced: ModelVersion | None, kind: str, reason: str) -> Promotion:
    one = version or replaced
    assert one is not None  # noqa: S101
    if replaced is not None:
        # First, because there may be one champion only, at any moment.
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
    """One change of champion at a time, and decisions on the symbol go on meanwhile. SQLite has one writer anyway."""
    Symbol.objects.select_for_update(no_key=True).get(pk=symbol.pk)


def _is_usable(version: ModelVersion) -> bool:
    try:
        load(version)
    except TrainingError as error:
        logger.warning("%s cannot stand in: %s", version, error)
        return False
    return True
