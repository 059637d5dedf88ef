"""Training of models that are kept: from stored candles to a version in the registry, and back to a warm model."""

import hashlib
import json
import logging
from dataclasses import asdict
from datetime import timedelta

import numpy as np
import pandas as pd

from engine.snapshot import market_frame
from engine.validation import Rows
from learning.examples import Examples, examples, rows_known
from learning.models import ModelVersion
from learning.recipes import Recipe
from learning.training import Model, TrainingError, fit
from market.models import Symbol
from market.selectors import candle_frame

logger = logging.getLogger(__name__)


class TamperedModel(TrainingError):
    """The candles or the recipe of a version are not those it was trained on."""


def train_version(symbol: Symbol, interval: str, recipe: Recipe) -> ModelVersion:
    """Trains on all stored candles of a market; the same candles give the same version. Raises TrainingError."""
    candles = candle_frame(symbol, interval)
    if candles.empty:
        raise TrainingError(f"no candles of {symbol} at {interval} are stored")
    known, rows = _training_rows(recipe, candles)
    logger.info("Training %s for %s at %s on %s rows", recipe.algorithm, symbol, interval, rows.size)
    fit(recipe, known.matrix[rows], known.labels.values[rows])
    return ModelVersion.objects.get_or_create(
        symbol=symbol,
        interval=interval,
        content_hash=_content_hash(recipe, known, rows),
        defaults={
            "algorithm": recipe.algorithm,
            "recipe": asdict(recipe),
            "first_time": candles.index[0].to_pydatetime(),
            "last_time": candles.index[-1].to_pydatetime(),
            "rows": rows.size,
        },
    )[0]


def load_version(version: ModelVersion) -> Model:
    """The model of a version, fitted anew. Raises TamperedModel when it would be another one."""
    recipe = Recipe(**version.recipe)
    end = version.last_time + timedelta(microseconds=1)
    known, rows = _training_rows(recipe, candle_frame(version.symbol, version.interval, version.first_time, end))
    if _content_hash(recipe, known, rows) != version.content_hash:
        raise TamperedModel(f"the candles of {version} have changed since it was trained")
    return fit(recipe, known.matrix[rows], known.labels.values[rows])


def _training_rows(recipe: Recipe, candles: pd.DataFrame) -> tuple[Examples, Rows]:
    known = examples(recipe, market_frame(candles))
    return known, rows_known(recipe, known, at=len(candles) - 1)


def _content_hash(recipe: Recipe, known: Examples, rows: Rows) -> str:
    content = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode())
    content.update(np.ascontiguousarray(known.matrix[rows]).tobytes())
    content.update(np.ascontiguousarray(known.labels.values[rows]).tobytes())
    return content.hexdigest()
