"""Training examples of a market: features, labels, and the outcomes of positions as labels."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.features import feature_matrix
from engine.indicators import Array
from engine.labels import UNKNOWN, Labels, forward_labels
from engine.orders import Action
from engine.validation import Rows, trainable_rows
from learning.training.recipes import Recipe, ThresholdUnit
from learning.trees.forest import complete_rows


@dataclass(frozen=True, slots=True)
class Examples:
    """One row per candle: features `matrix` (n, 14), `labels`, `complete` (n,) after the warm-up, and `times`."""

    matrix: Array
    labels: Labels
    complete: npt.NDArray[np.bool_]
    times: pd.DatetimeIndex

    def until(self, row: int) -> "Examples":
        """The examples as known at the close of candle `row`: labels that end later are UNKNOWN."""
        values = np.where(self.labels.ends <= row, self.labels.values, UNKNOWN)[: row + 1]
        labels = Labels(values, self.labels.ends[: row + 1])
        return Examples(self.matrix[: row + 1], labels, self.complete[: row + 1], self.times[: row + 1])


def examples(recipe: Recipe, market: pd.DataFrame) -> Examples:
    """The examples of a market frame (`engine.snapshot.market_frame`)."""
    matrix = feature_matrix(market, recipe.form)
    labels = forward_labels(market["close"].to_numpy(), recipe.horizon, _thresholds(recipe, market))
    return Examples(matrix, labels, complete_rows(matrix), pd.DatetimeIndex(market.index))


def _thresholds(recipe: Recipe, market: pd.DataFrame) -> float | Array:
    """Of the labels, as fractions of the price."""
    if recipe.threshold_unit is ThresholdUnit.PRICE:
        return recipe.threshold
    return recipe.threshold * market["volatility"].to_numpy() / market["close"].to_numpy()


def rows_known(recipe: Recipe, known: Examples, at: int) -> Rows:
    """The rows that may train a model first used at the close of candle `at`; the last `window` of them."""
    rows = trainable_rows(known.labels, known.complete, at)
    return rows if recipe.window is None else rows[-recipe.window :]


@dataclass(frozen=True, slots=True)
class PositionOutcome:
    """A completed position, decided at the candle of `open_time`; `profit` is net, as a share of its cost."""

    open_time: datetime
    profit: float


def with_outcomes(known: Examples, outcomes: Iterable[PositionOutcome]) -> Examples:
    """Examples in which the candle of a profitable position is labelled BUY, and a BUY that lost money HOLD.

    Positions of one candle count by their mean. SELL and HOLD labels of losing positions, and open labels, stay.
    Challengers are compared on the plain labels, so that this helps a model only if it predicts better.
    """
    profits: dict[datetime, list[float]] = defaultdict(list)
    for outcome in outcomes:
        profits[outcome.open_time].append(outcome.profit)
    values = known.labels.values.copy()
    for time, found in profits.items():
        place = int(known.times.searchsorted(pd.Timestamp(time)))
        if place == len(known.times) or known.times[place] != time or values[place] == UNKNOWN:
            continue
        if fmean(found) > 0:
            values[place] = Action.BUY
        elif values[place] == Action.BUY:
            values[place] = Action.HOLD
    if np.array_equal(values, known.labels.values):
        return known
    return replace(known, labels=Labels(values, known.labels.ends))
