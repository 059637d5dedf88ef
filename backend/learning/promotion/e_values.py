"""Comparison of two models by e-values, which remain valid when they are read after every candle.

Both models predict the same snapshots. The gain of a snapshot is the champion's log loss less the challenger's. Labels
that look `horizon` candles ahead overlap, so only snapshots whose label windows do not overlap are counted. The null
hypothesis is that the challenger is not better. The e-process is the product of 1 + rate * gain, a test martingale
under the null: it reaches 40 with a probability of at most 1 in 40 (Ville's inequality), however often it is read.
A t-test that is repeated until it is significant would promote three of four equally skilled challengers.

Sources: Jean Ville, Étude critique de la notion de collectif, 1939; Alexander Henzi and Johanna Ziegel, Valid
sequential inference on probability forecast performance, Biometrika 109, 2022; Ian Waudby-Smith and Aaditya Ramdas,
Estimating means of bounded random variables by betting, JRSS B 86, 2024.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.validation import Rows

Classes = npt.NDArray[np.int8]

PROMOTION_E_VALUE = 40.0
"""The false-promotion rate is at most 1 in 40 for the martingale; serial dependence that outlasts a label adds to it,
up to 1 in 20 (`benchmarks/promotion.py`)."""

DEGRADATION_E_VALUE = 100.0

TOLERANCE = 0.05
"""Nats per snapshot by which the loss of a calibrated champion may exceed the entropy of its probabilities."""

RATES = np.array([0.25, 0.5, 1.0])
"""Multiples of the gain, per nat. The e-process is the mean over them, because the size of an advantage is unknown."""

LARGEST_DECREASE = 0.3
"""The share of the e-value that one snapshot may cost."""

LARGEST_LOGARITHM = 700.0

SMALLEST_PROBABILITY = 0.02
"""A floor for probabilities, so that one confident mistake does not decide the comparison."""


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """The e-value after `counted` snapshots; `gain` is the mean gain in nats."""

    counted: int
    gain: float
    e_value: float


def compare(champion: Array, challenger: Array, truth: Classes, rows: Rows, horizon: int) -> SequentialTest:
    """The test that the challenger is better, from probabilities (n, 3) for snapshots with labels `truth` (n,).

    `rows` (n,) are the candle numbers of the snapshots, increasing; label windows of `horizon` candles follow them.
    """
    gains, ranges, _ = _gains(champion, challenger, truth, rows, horizon)
    return _tested(gains, ranges)


def worse_than_frequencies(
    probabilities: Array, frequencies: Array, truth: Classes, rows: Rows, horizon: int
) -> SequentialTest:
    """The test that constant class frequencies (3,) predict better than probabilities (n, 3)."""
    return compare(probabilities, np.broadcast_to(frequencies, probabilities.shape), truth, rows, horizon)


def miscalibration(probabilities: Array, truth: Classes, rows: Rows, horizon: int) -> SequentialTest:
    """The test that the log loss of probabilities (n, 3) exceeds their entropy by more than TOLERANCE.

    The expected log loss of a calibrated forecast is its entropy.
    """
    counted = non_overlapping(rows, horizon)
    p = floored(probabilities[counted])
    losses = -np.log(p)
    excess = losses - (p * losses).sum(axis=1, keepdims=True) - TOLERANCE
    return _tested(excess[np.arange(counted.size), truth[counted]], np.abs(excess).max(axis=1, initial=0.0))


def first_above(
    champion: Array, challenger: Array, truth: Classes, rows: Rows, horizon: int, e_value: float = PROMOTION_E_VALUE
) -> int | None:
    """The index of the snapshot at which the e-process of `compare` first reaches an e-value; None if it never does."""
    gains, ranges, counted = _gains(champion, challenger, truth, rows, horizon)
    reached = np.flatnonzero(e_process(gains, ranges) >= e_value)
    return int(counted[reached[0]]) if reached.size else None


def non_overlapping(rows: Rows, horizon: int) -> Rows:
    """Indices into `rows`: the first, and each whose label window begins after the previous one has closed."""
    kept, free = [], -1
    for place, row in enumerate(rows.tolist()):
        if row >= free:
            kept.append(place)
            free = row + horizon
    return np.array(kept, dtype=np.int64)


def e_process(gains: Array, ranges: Array) -> Array:
    """The e-value (n,) after each of n gains; no gain exceeds its range, which is known before the outcome."""
    most = np.divide(LARGEST_DECREASE, ranges, out=np.zeros(ranges.size), where=ranges > 0)
    logarithms = np.cumsum(np.log1p(np.minimum(RATES, most[:, None]) * gains[:, None]), axis=0)
    return np.asarray(np.exp(np.minimum(logarithms, LARGEST_LOGARITHM)).mean(axis=1))


def floored(probabilities: Array) -> Array:
    """(n, 3) raised to at least SMALLEST_PROBABILITY, and divided by their sum."""
    raised = np.maximum(probabilities, SMALLEST_PROBABILITY)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _tested(gains: Array, ranges: Array) -> SequentialTest:
    if not gains.size:
        return SequentialTest(0, 0.0, 1.0)
    return SequentialTest(gains.size, float(gains.mean()), float(e_process(gains, ranges)[-1]))


def _gains(champion: Array, challenger: Array, truth: Classes, rows: Rows, horizon: int) -> tuple[Array, Array, Rows]:
    """The gains of the counted snapshots, the largest possible ones, and the indices of those snapshots."""
    counted = non_overlapping(rows, horizon)
    saved = np.log(floored(challenger[counted]) / floored(champion[counted]))
    return saved[np.arange(counted.size), truth[counted]], np.abs(saved).max(axis=1, initial=0.0), counted
