"""Scores of a walk-forward beside its baselines: the majority class and a coin."""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.labels import UNKNOWN
from engine.orders import Action
from learning.scores.measures import SMALLEST_PROBABILITY

CLASSES = len(Action)
COIN_ACCURACY = 1.0 / CLASSES
COIN_LOG_LOSS = log(CLASSES)

# The normal quantile of a two-sided interval of 95 %.
Z95 = 1.959963984540054

BLOCK_HORIZONS = 20
MINIMUM_BLOCKS = 10


@dataclass(frozen=True, slots=True)
class Score:
    """Scores over `rows` predictions whose labels have closed.

    `confusion[truth][prediction]` counts them in the order SELL, HOLD, BUY. The `majority_` baseline predicts the
    most frequent class (or the class frequencies) of the training rows of the model that made each prediction.
    The 95 % interval of the accuracy uses `effective_rows`, the equivalent number of independent predictions:
    neighbouring labels share candles, and hits and misses cluster.
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


class NothingToScore(ValueError):
    """No label of a prediction has closed: the test is shorter than the horizon."""


def score(probabilities: Array, baseline: Array, values: npt.NDArray[np.int8], horizon: int) -> Score:
    """The score of (n, 3) probabilities against n labels; rows without a prediction or with an open label are ignored.

    `baseline` (n, 3) are the class frequencies known at each prediction. Raises NothingToScore where no row is left.
    """
    counted = (values != UNKNOWN) & np.isfinite(probabilities).all(axis=1) & np.isfinite(baseline).all(axis=1)
    if not counted.any():
        raise NothingToScore("no prediction whose label has closed")
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


def effective_rows(right: npt.NDArray[np.bool_], horizon: int) -> float:
    """The number of independent trials that n predictions in time order are equivalent to: at most n / horizon.

    Labels of neighbouring rows share all but one candle. Clusters of hits that outlast a label raise the variance
    between blocks of 20 horizons above that of independent trials.
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
    """The mean recall of the classes that occurred."""
    occurred = confusion.sum(axis=1)
    present = occurred > 0
    return float(np.mean(np.diag(confusion)[present] / occurred[present]))


def _log_loss(probabilities: Array, truth: npt.NDArray[np.int8]) -> float:
    chosen = probabilities[np.arange(truth.size), truth]
    return float(-np.mean(np.log(np.maximum(chosen, SMALLEST_PROBABILITY))))
