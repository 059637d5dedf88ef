"""Models in the registry, made once for all tests of a process."""

from functools import cache

import pandas as pd

from engine.snapshot import MARKET_COLUMNS, Snapshot, market_frame
from learning.choice import ModelChoice
from learning.models import ModelVersion
from learning.registry.services import register
from learning.training.recipes import Recipe
from learning.training.train import TrainingResult, train_and_score
from market.models import Symbol
from market.services import add_symbol
from tests.markets import random_candles

CANDLES = 260
HISTORY = 220


@cache
def candles() -> pd.DataFrame:
    return random_candles(CANDLES)


@cache
def made(seed: int = 42, algorithm: str = "random_forest", history: int = HISTORY) -> TrainingResult:
    return train_and_score(Recipe(algorithm=algorithm, trees=4, folds=2, seed=seed), candles().iloc[:history])


def bitcoin() -> Symbol:
    return add_symbol("BTCUSDT")


def registered(seed: int = 42, history: int = HISTORY) -> ModelVersion:
    return register(bitcoin(), "1h", made(seed, history=history))


@cache
def _market() -> pd.DataFrame:
    return market_frame(candles())


def snapshot(row: int) -> Snapshot:
    """Of the candle of that row; those from HISTORY on were never trained on."""
    values = {name: float(_market()[name].iloc[row]) for name in MARKET_COLUMNS}
    return Snapshot("BTCUSDT", "1h", _market().index[row].to_pydatetime(), values)


NAME = str(ModelChoice("random_forest"))
