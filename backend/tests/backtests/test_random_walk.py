"""On prices that nobody can foretell, a back-test that earns money is a broken back-test."""

from decimal import Decimal
from math import sqrt
from statistics import mean, stdev

import numpy as np
import pandas as pd
import pytest

from backtests import runner
from backtests.options import Options
from backtests.runner import Forecast, Result
from backtests.series import PriceHistory
from engine.labels import forward_labels
from engine.orders import Action
from learning.training.calibration import Method
from learning.training.recipes import Recipe
from tests.backtests.runs import result
from tests.markets import made_candles

SEEDS, ROWS, HISTORY, STEP = 40, 500, 250, 0.01
FREE = {"fee_rate": Decimal(0), "slippage": Decimal(0)}


def fair_candles(seed: int) -> pd.DataFrame:
    """A walk whose next price is on average its last one: its logarithm drifts down by half its variance."""
    steps = np.random.default_rng(seed).normal(-STEP * STEP / 2, STEP, ROWS)
    return made_candles(np.round(1000 * np.exp(np.cumsum(steps)), 2))


def played(seed: int, **changes: object) -> Result:
    # No levels: within a step of this walk there is no path that could have touched one at its price.
    return result(
        fair_candles(seed),
        HISTORY,
        model="random_forest",
        confidence=0.4,
        retrain_every=125,
        max_position=Decimal(1),
        stop_loss=None,
        take_profit=None,
        seed=seed,
        **changes,
    )


def t_statistic(values: list[float]) -> float:
    return mean(values) / (stdev(values) / sqrt(len(values)))


@pytest.fixture
def small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    def recipe_of(options: Options) -> Recipe:
        # Calibrated, a forest that knows nothing seldom trades.
        return Recipe(trees=10, threshold=options.label_threshold, seed=options.seed, calibration=Method.NONE)

    monkeypatch.setattr(runner, "recipe_of", recipe_of)


def test_a_forest_earns_nothing_on_a_random_walk(small_forests: None):
    runs = [played(seed) for seed in range(SEEDS)]
    free = [played(seed, **FREE) for seed in range(SEEDS)]
    assert mean(found.metrics.closed_trades for found in free) > 10
    assert abs(t_statistic([found.metrics.return_percent for found in free])) < 3
    assert t_statistic([found.metrics.return_percent for found in runs]) < 2
    assert all(
        found.metrics.return_percent <= before.metrics.return_percent for found, before in zip(runs, free, strict=True)
    )


def test_the_test_above_would_notice_a_look_into_the_future(monkeypatch: pytest.MonkeyPatch):
    """The same account, told one time in ten which way the next candle goes, and a coin's toss else."""

    def peeking(options: Options, series: PriceHistory, on_progress: object) -> Forecast:
        candles, random = series.candles, np.random.default_rng(options.seed)
        truth = forward_labels(candles["close"].to_numpy(), 2, 0.0).values
        guess = random.choice([Action.SELL, Action.BUY], len(candles))
        chosen = np.where((random.random(len(candles)) < 0.1) & (truth >= 0), truth, guess)
        return Forecast(chosen.astype(np.int8), np.ones(len(candles)), np.full(len(candles), 1.0))

    monkeypatch.setattr(runner, "_trained", peeking)
    assert t_statistic([played(seed, **FREE).metrics.return_percent for seed in range(SEEDS)]) > 3
