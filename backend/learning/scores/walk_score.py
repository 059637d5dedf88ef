"""How good the answers of a walk were, beside what could be had for nothing: the majority class and a coin."""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.indicators import Array
from engine.labels import UNKNOWN
from learning.scores.measures import SMALLEST_PROBABILITY
from learning.training.examples import examples
from learning.training.fit import CLASSES
from learning.training.recipes import Recipe
from learning.training.walk_forward import OutOfSample

COIN_ACCURACY = 1.0 / CLASSES
COIN_LOG_LOSS = log(CLASSES)

# The normal quantile of a two-sided interval of 95 %.
Z95 = 1.959963984540054

BLOCK_HORIZONS = 20
MINIMUM_BLOCKS = 10


@dataclass(frozen=True, slots=True)
class Score:
    """Scores over `rows` predictions whose labels have closed.

    `confusion[truth][prediction]` counts them in the order SELL, HOLD, BUY. The `majority_` baseline foretells for each
    row the commonest class (or the class frequencies) of the training rows behind that very prediction.
    The 95 % interval of the accuracy is built on `effective_rows`, the number of independent predictions that `rows`
    are worth: neighbouring labels share candles, and a model is right and wrong in spells.
    """

    rows: int
    effective_rows: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    balanced_accuracy: float
    log_loss: float
    majority_accuracy: float
    majority_log_loss: float
    confusion: tuple[tuple[int, int, int], ...]
    coin_accuracy: float = COIN_ACCURACY
    coin_log_loss: float = COIN_LOG_LOSS

    @property
    def class_counts(self) -> tuple[int, ...]:
        return tuple(sum(row) for row in self.confusion)

    @property
    def predicted_counts(self) -> tuple[int, ...]:
        return tuple(sum(column) for column in zip(*self.confusion, strict=True))


def score(probabilities: Array, baseline: Array, values: npt.NDArray[np.int8], horizon: int) -> Score:
    """The score of (n, 3) probabilities against n labels; rows without an answer or with an open label do not count.

    `baseline` (n, 3) holds the class frequencies that were known at each prediction. Raises ValueError if no
    row is left.
    """
    counted = (values != UNKNOWN) & np.isfinite(probabilities).all(axis=1) & np.isfinite(baseline).all(axis=1)
    if not counted.any():
        raise ValueError("no prediction whose label has closed")
    probabilities, baseline, truth = probabilities[counted], baseline[counted], values[counted]
    confusion = _confusion(truth, probabilities.argmax(axis=1))
    accuracy = float(np.trace(confusion) / truth.size)
    effective = effective_rows(probabilities.argmax(axis=1) == truth, horizon)
    low, high = wilson(accuracy, effective)
    return Score(
        rows=truth.size,
        effective_rows=effective,
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
        balanced_accuracy=_balanced_accuracy(confusion),
        log_loss=_log_loss(probabilities, truth),
        majority_accuracy=float(np.mean(baseline.argmax(axis=1) == truth)),
        majority_log_loss=_log_loss(baseline, truth),
        confusion=tuple((sell, hold, buy) for sell, hold, buy in confusion.tolist()),
    )


def score_walk(recipe: Recipe, market: pd.DataFrame, walk: OutOfSample) -> Score:
    """The score of a walk over a market, with the labels of the recipe."""
    return score(walk.probabilities, walk.baseline, examples(recipe, market).labels.values, recipe.horizon)


def effective_rows(right: npt.NDArray[np.bool_], horizon: int) -> float:
    """How many independent trials n predictions in time order are worth: n / horizon at most.

    Labels of neighbouring rows share all but one of their candles, so that only every horizon-th is news. Spells that
    outlast a label show in the shares of blocks of 20 horizons, which then differ by more than chance lets them.
    """
    length = BLOCK_HORIZONS * horizon
    blocks = right[: right.size // length * length].reshape(-1, length)
    inflation = float(horizon)
    if len(blocks) >= MINIMUM_BLOCKS and 0 < right.mean() < 1:
        inflation = max(inflation, float(blocks.mean(axis=1).var(ddof=1) * length / right.var()))
    return right.size / inflation


def wilson(share: float, rows: float) -> tuple[float, float]:
    """The 95 % interval of a share observed in `rows` independent trials (Edwin B. Wilson, JASA 22, 1927)."""
    square = Z95 * Z95
    centre = (share + square / (2 * rows)) / (1 + square / rows)
    half = Z95 * sqrt(share * (1 - share) / rows + square / (4 * rows * rows)) / (1 + square / rows)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _confusion(truth: npt.NDArray[np.int8], predicted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    counts = np.bincount(truth * CLASSES + predicted, minlength=CLASSES * CLASSES)
    return counts.reshape(CLASSES, CLASSES)


def _balanced_accuracy(confusion: npt.NDArray[np.int64]) -> float:
    """The mean over the classes that occurred of the share that was foretold."""
    occurred = confusion.sum(axis=1)
    present = occurred > 0
    return float(np.mean(np.diag(confusion)[present] / occurred[present]))


def _log_loss(probabilities: Array, truth: npt.NDArray[np.int8]) -> float:
    chosen = probabilities[np.arange(truth.size), truth]
    return float(-np.mean(np.log(np.maximum(chosen, SMALLEST_PROBABILITY))))
