"""From a market to what a model learns from: features, labels, and which rows are complete."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.features import feature_matrix
from engine.indicators import Array
from engine.labels import UNKNOWN, Labels, forward_labels
from engine.validation import Rows, trainable_rows
from learning.training.fit import complete_rows
from learning.training.recipes import Recipe, ThresholdUnit


@dataclass(frozen=True, slots=True)
class Examples:
    """One row per candle: `matrix` (n, 14), `labels`, and `complete` where the features have warmed up."""

    matrix: Array
    labels: Labels
    complete: npt.NDArray[np.bool_]
    times: pd.DatetimeIndex

    def until(self, row: int) -> "Examples":
        """What was known at the close of candle `row`: the labels that look further are unknown."""
        values = np.where(self.labels.ends <= row, self.labels.values, UNKNOWN)[: row + 1]
        labels = Labels(values, self.labels.ends[: row + 1])
        return Examples(self.matrix[: row + 1], labels, self.complete[: row + 1], self.times[: row + 1])


def examples(recipe: Recipe, market: pd.DataFrame) -> Examples:
    """The examples of a market frame (`engine.snapshot.market_frame`)."""
    matrix = feature_matrix(market, recipe.form)
    labels = forward_labels(market["close"].to_numpy(), recipe.horizon, _thresholds(recipe, market))
    return Examples(matrix, labels, complete_rows(matrix), pd.DatetimeIndex(market.index))


def _thresholds(recipe: Recipe, market: pd.DataFrame) -> float | Array:
    """As fractions of the price."""
    if recipe.threshold_unit is ThresholdUnit.PRICE:
        return recipe.threshold
    return recipe.threshold * market["volatility"].to_numpy() / market["close"].to_numpy()


def rows_known(recipe: Recipe, known: Examples, at: int) -> Rows:
    """The rows that may train a model that is first used at the close of candle `at`; the last `window` of them."""
    rows = trainable_rows(known.labels, known.complete, at)
    return rows if recipe.window is None else rows[-recipe.window :]
