"""Measures of predictions with 95 % confidence intervals, and reliability curves.

Rows are not independent: neighbouring labels share candles, and hits and misses cluster. The intervals therefore come
from a circular block bootstrap (Dimitris Politis and Joseph Romano, A circular block-resampling procedure for
stationary data, 1992).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isnan

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from engine.indicators import Array
from engine.orders import Action
from engine.validation import Rows

BINS = 10
ROUNDS = 400
BLOCK_HORIZONS = 10
FEWEST_BLOCKS = 8
TAILS = (2.5, 97.5)

LOOKBACK = 50
"""Candles behind a row that its features use: the longest average. MACD and RSI reach further with weights near 0."""

# A floor: the log loss of a probability of 0 for the class that occurred would be infinite.
SMALLEST_PROBABILITY = 1e-6

_WEIGHTS_AT_ONCE = 2_000_000
_ROWS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for n rows: `row` (n,) candle numbers, increasing within a fold; `probabilities` (n, 3); `right` (n,)
    whether the predicted class was right (0, 1, or the expected share of hits); `truth` (n,); `fold` (n,) increasing.
    """

    row: Rows
    probabilities: Array
    right: Array
    truth: npt.NDArray[np.int8]
    fold: npt.NDArray[np.int64]

    @classmethod
    def most_probable(
        cls, row: Rows, probabilities: Array, truth: npt.NDArray[np.int8], fold: npt.NDArray[np.int64]
    ) -> "Predictions":
        """Predictions of the most probable class."""
        return cls(row, probabilities, (probabilities.argmax(axis=1) == truth).astype(np.float64), truth, fold)


@dataclass(frozen=True, slots=True)
class Measures:
    """`balanced_accuracy` is the mean recall of the classes that occurred; `brier` the squared error summed over the
    classes, 0 to 2. `auc` is the mean over the classes of the one-against-rest area under the ROC curve, within each
    fold, because the scores of two models are not comparable; None where no fold has two classes. Only rows whose
    labels and features share no candle are compared: overlap alone raises it (to 0.53 on random walks, horizon 20).
    `direction_auc` is the area for BUY against SELL: predicting volatility raises `auc` and does not raise this.
    """

    accuracy: Interval
    balanced_accuracy: Interval
    log_loss: Interval
    brier: Interval
    auc: Interval | None
    direction_auc: Interval | None


@dataclass(frozen=True, slots=True)
class Resampling:
    """The block bootstrap of n rows: how often each row is drawn in each round."""

    fold: npt.NDArray[np.int64]
    horizon: int
    seed: int
    rounds: int = ROUNDS

    def weights(self) -> Iterator[Array]:
        """First (1, n) ones for the history itself, then (k, n) rounds in batches. Deterministic by the seed."""
        yield np.ones((1, self.fold.size))
        random = np.random.default_rng(self.seed)
        some = max(1, _WEIGHTS_AT_ONCE // max(self.fold.size, 1))
        for first in range(0, self.rounds, some):
            rounds = min(some, self.rounds - first)
            # Blocks stay within a fold, so that each round has the same number of rows per model.
            yield np.hstack([self._drawn(random, rounds, rows.size) for rows in _by_fold(self.fold)])

    def _drawn(self, random: np.random.Generator, rounds: int, rows: int) -> Array:
        length = max(min(BLOCK_HORIZONS * self.horizon, rows // FEWEST_BLOCKS), min(self.horizon, rows))
        firsts = random.integers(0, rows, (rounds, ceil(rows / length), 1))
        chosen = ((firsts + np.arange(length)) % rows).reshape(rounds, -1)[:, :rows]
        numbered = chosen + np.arange(rounds)[:, None] * rows
        return np.bincount(numbered.ravel(), minlength=rounds * rows).reshape(rounds, rows).astype(np.float64)


def measures(predictions: Predictions, resampling: Resampling) -> Measures:
    """The measures of predictions. One resampling gives the same drawn rows to everything measured with it."""
    with threadpool_limits(1):  # waiting threads spin and slow down other work
        return _measures(predictions, resampling, resampling.horizon + LOOKBACK)


def mean_interval(values: Array, resampling: Resampling) -> Interval:
    """The mean of n values, such as differences in loss between two models on the same rows."""
    with threadpool_limits(1):  # waiting threads spin and slow down other work
        return _mean_interval(values, resampling)


def log_losses(predictions: Predictions) -> Array:
    """(n,) -log of the probability of the class that occurred: log 3 for uniform probabilities."""
    chosen = predictions.probabilities[np.arange(predictions.truth.size), predictions.truth]
    return np.asarray(-np.log(np.maximum(chosen, SMALLEST_PROBABILITY)))


def briers(predictions: Predictions) -> Array:
    """(n,) squared errors summed over the classes (Glenn Brier, Verification of forecasts, 1950)."""
    return np.asarray(np.square(predictions.probabilities - np.eye(len(Action))[predictions.truth]).sum(axis=1))


def _measures(predictions: Predictions, resampling: Resampling, apart: int) -> Measures:
    return Measures(
        accuracy=_interval(np.concatenate([_mean(predictions.right, drawn) for drawn in resampling.weights()])),
        balanced_accuracy=_interval(np.concatenate([_balanced(predictions, drawn) for drawn in resampling.weights()])),
        log_loss=_mean_interval(log_losses(predictions), resampling),
        brier=_mean_interval(briers(predictions), resampling),
        auc=_known(_interval(np.concatenate([_auc(predictions, drawn, apart) for drawn in resampling.weights()]))),
        direction_auc=_known(
            _interval(np.concatenate([_direction(predictions, drawn, apart) for drawn in resampling.weights()]))
        ),
    )


def _mean_interval(values: Array, resampling: Resampling) -> Interval:
    return _interval(np.concatenate([_mean(values, drawn) for drawn in resampling.weights()]))


def _by_fold(fold: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return np.split(np.arange(fold.size), np.flatnonzero(np.diff(fold)) + 1)


def _mean(values: Array, drawn: Array) -> Array:
    return np.asarray(drawn @ values / drawn.sum(axis=1))


def _balanced(predictions: Predictions, drawn: Array) -> Array:
    shares = []
    for action in Action:
        happened = predictions.truth == action
        with np.errstate(invalid="ignore"):
            shares.append(drawn[:, happened] @ predictions.right[happened] / drawn[:, happened].sum(axis=1))
    return _mean_of_known(np.array(shares))


def _auc(predictions: Predictions, drawn: Array, apart: int) -> Array:
    """(rounds,): the mean over classes and folds, weighted by rows."""
    areas, sizes = [], []
    for rows in _by_fold(predictions.fold):
        for action in Action:
            happened = predictions.truth[rows] == action
            scores = predictions.probabilities[rows, action]
            areas.append(_area(scores, happened, predictions.row[rows], drawn[:, rows], apart))
            sizes.append(float(rows.size))
    return _mean_of_known(np.array(areas), np.array(sizes))


def _direction(predictions: Predictions, drawn: Array, apart: int) -> Array:
    """(rounds,): the same for the share of BUY in BUY and SELL, over the rows labelled with one of them."""
    areas, sizes = [np.full(len(drawn), np.nan)], [0.0]  # For a history without BUY and SELL.
    for rows in _by_fold(predictions.fold):
        moved = rows[predictions.truth[rows] != Action.HOLD]
        sell, buy = predictions.probabilities[moved][:, [Action.SELL, Action.BUY]].T
        rises = predictions.truth[moved] == Action.BUY
        odds = buy / np.maximum(buy + sell, SMALLEST_PROBABILITY)
        areas.append(_area(odds, rises, predictions.row[moved], drawn[:, moved], apart))
        sizes.append(float(moved.size))
    return _mean_of_known(np.array(areas), np.array(sizes))


def _area(scores: Array, happened: npt.NDArray[np.bool_], row: Rows, drawn: Array, apart: int) -> Array:
    """(rounds,): the share of pairs (positive, negative), more than `apart` candles apart, in which the positive scores
    higher, ties counting half; NaN without such pairs.
    """
    higher, pairs_count = _all_pairs(scores, happened, drawn)
    for first in range(0, scores.size, _ROWS_AT_ONCE):
        ours = slice(first, first + _ROWS_AT_ONCE)
        near = slice(*np.searchsorted(row, [row[ours][0] - apart, row[ours][-1] + apart + 1]))
        pairs = happened[ours, None] & ~happened[near] & (np.abs(row[ours, None] - row[near]) <= apart)
        wins = (np.sign(scores[ours, None] - scores[near]) + 1.0) / 2.0 * pairs
        higher -= ((drawn[:, ours] @ wins) * drawn[:, near]).sum(axis=1)
        pairs_count -= ((drawn[:, ours] @ pairs.astype(np.float64)) * drawn[:, near]).sum(axis=1)
    with np.errstate(invalid="ignore"):
        # Pairs are whole numbers: values below 0.25 are rounding noise.
        return np.asarray(np.where(pairs_count > 0.25, higher, np.nan) / pairs_count)


def _all_pairs(scores: Array, happened: npt.NDArray[np.bool_], drawn: Array) -> tuple[Array, Array]:
    """(rounds,) pairs in which the positive scores higher, and (rounds,) all pairs, from the sorted scores."""
    order = np.argsort(scores, kind="stable")
    first_of_ties = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    sorted_ = drawn[:, order]
    hits = np.add.reduceat(sorted_ * happened[order], first_of_ties, axis=1)
    misses = np.add.reduceat(sorted_ * ~happened[order], first_of_ties, axis=1)
    below = np.cumsum(misses, axis=1) - misses / 2
    return (hits * below).sum(axis=1), hits.sum(axis=1) * misses.sum(axis=1)


def _mean_of_known(values: Array, sizes: Array | None = None) -> Array:
    """(k, rounds) to (rounds,): the weighted mean of the values that are not NaN; NaN where all are."""
    sizes = np.ones(len(values)) if sizes is None else sizes
    known = ~np.isnan(values) * sizes[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray((np.nan_to_num(values) * known).sum(axis=0) / known.sum(axis=0))


def _interval(values: Array) -> Interval:
    """From the value on the history (first) and those of the rounds."""
    rounds = values[1:][~np.isnan(values[1:])]
    low, high = np.percentile(rounds, TAILS).tolist() if rounds.size else (np.nan, np.nan)
    return Interval(float(values[0]), low, high)


def _known(interval: Interval) -> Interval | None:
    return None if isnan(interval.value) else interval


@dataclass(frozen=True, slots=True)
class Bin:
    """`rows` predictions of similar probability: their mean probability `said`, the observed frequency `happened`."""

    said: float
    happened: float
    rows: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """The reliability curve of one class. `error` is the mean distance from the diagonal, weighted by rows.

    Source of the error: Mahdi Pakdaman Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning,
    2015, with bins of equal size instead of equal width.
    """

    bins: tuple[Bin, ...]
    error: float


def reliability(probabilities: Array, truth: npt.NDArray[np.int8]) -> tuple[Reliability, ...]:
    """The curves of SELL, HOLD and BUY, from probabilities (n, 3) of n >= 1 rows."""
    return tuple(_curve(probabilities[:, action], truth == action) for action in Action)


def _curve(said: Array, happened: npt.NDArray[np.bool_]) -> Reliability:
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if part.size]
    bins = tuple(Bin(float(said[part].mean()), float(happened[part].mean()), part.size) for part in parts)
    error = sum(abs(one.said - one.happened) * one.rows for one in bins) / said.size
    return Reliability(bins, error)
