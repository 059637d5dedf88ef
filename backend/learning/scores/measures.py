"""How good answers were, each figure with the interval that chance leaves it.

Neighbouring labels share candles, and a model is right and wrong in spells: rows are not independent. The intervals
come from a circular block bootstrap (Dimitris Politis and Joseph Romano, A circular block-resampling procedure for
stationary data, 1992), which draws stretches of candles instead of single rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isnan

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.orders import Action
from engine.validation import Rows
from learning.training.threads import one_thread

ROUNDS = 400
BLOCK_HORIZONS = 10
FEWEST_BLOCKS = 8
TAILS = (2.5, 97.5)

LOOKBACK = 50
"""Candles that a row's features look back on: the longest average. What MACD and RSI see beyond has faded."""

# A probability of exactly 0 for what then happened would cost an infinite log loss.
SMALLEST_PROBABILITY = 1e-6

_AT_ONCE = 2_000_000
_STRETCH = 128


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and the bounds between which it lies in 95 % of the resampled histories."""

    value: float
    low: float
    high: float

    def holds(self, figure: float) -> bool:
        return self.low <= figure <= self.high


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to n rows: `row` (n,) numbers the candles and rises within a fold, `probabilities` (n, 3), `right` (n,)
    is how much of a hit the named class is (0, 1, or what it is on average), `truth` (n,), `fold` (n,) rises by model.
    """

    row: Rows
    probabilities: Array
    right: Array
    truth: npt.NDArray[np.int8]
    fold: npt.NDArray[np.int64]

    @classmethod
    def likeliest(
        cls, row: Rows, probabilities: Array, truth: npt.NDArray[np.int8], fold: npt.NDArray[np.int64]
    ) -> "Answers":
        """Answers that name the likeliest class."""
        return cls(row, probabilities, (probabilities.argmax(axis=1) == truth).astype(np.float64), truth, fold)


@dataclass(frozen=True, slots=True)
class Measures:
    """`balanced_accuracy` is the mean over the classes that occurred. `brier` is the squared distance from what
    happened, summed over the classes: 0 to 2. `auc` is the mean over the classes of the area under each one's curve
    against the rest, within each fold, because two models have no common scale; None where no fold has two classes.
    Rows are compared only where neither's label and features share a candle with the other's: after a rise the past of
    a later row is high, which alone makes a useless guess of falls look right (0.53 on random walks, horizon 20).
    `direction_auc` is the same for BUY against SELL alone: telling calm from storm adds to `auc`, and nothing to it.
    """

    accuracy: Interval
    balanced_accuracy: Interval
    log_loss: Interval
    brier: Interval
    auc: Interval | None
    direction_auc: Interval | None


@dataclass(frozen=True, slots=True)
class Resampling:
    """Histories drawn from the one that happened: for each round, how often each of n rows is in it."""

    fold: npt.NDArray[np.int64]
    horizon: int
    seed: int
    rounds: int = ROUNDS

    def weights(self) -> Iterator[Array]:
        """(1, n) ones first, the history itself; then the rounds, some at a time. The same seed draws the same."""
        yield np.ones((1, self.fold.size))
        random = np.random.default_rng(self.seed)
        some = max(1, _AT_ONCE // max(self.fold.size, 1))
        for first in range(0, self.rounds, some):
            rounds = min(some, self.rounds - first)
            # Blocks stay within a fold, so that each round holds as many rows of each model.
            yield np.hstack([self._drawn(random, rounds, rows.size) for rows in _by_fold(self.fold)])

    def _drawn(self, random: np.random.Generator, rounds: int, rows: int) -> Array:
        length = max(min(BLOCK_HORIZONS * self.horizon, rows // FEWEST_BLOCKS), min(self.horizon, rows))
        firsts = random.integers(0, rows, (rounds, ceil(rows / length), 1))
        chosen = ((firsts + np.arange(length)) % rows).reshape(rounds, -1)[:, :rows]
        numbered = chosen + np.arange(rounds)[:, None] * rows
        return np.bincount(numbered.ravel(), minlength=rounds * rows).reshape(rounds, rows).astype(np.float64)


def measures(answers: Answers, resampling: Resampling) -> Measures:
    """The figures of answers; whatever is measured with one resampling is measured on the same drawn histories."""
    with one_thread():
        return _measures(answers, resampling, resampling.horizon + LOOKBACK)


def mean_interval(values: Array, resampling: Resampling) -> Interval:
    """The mean of n values, such as the differences between two kinds of answers to the same rows."""
    with one_thread():
        return _mean_interval(values, resampling)


def log_losses(answers: Answers) -> Array:
    """(n,) the surprise of each row: 0 for what was certain, log 3 for what nobody knew."""
    chosen = answers.probabilities[np.arange(answers.truth.size), answers.truth]
    return np.asarray(-np.log(np.maximum(chosen, SMALLEST_PROBABILITY)))


def briers(answers: Answers) -> Array:
    """(n,) squared distances from what happened (Glenn Brier, Verification of forecasts, 1950)."""
    return np.asarray(np.square(answers.probabilities - np.eye(len(Action))[answers.truth]).sum(axis=1))


def _measures(answers: Answers, resampling: Resampling, apart: int) -> Measures:
    return Measures(
        accuracy=_interval(np.concatenate([_mean(answers.right, drawn) for drawn in resampling.weights()])),
        balanced_accuracy=_interval(np.concatenate([_balanced(answers, drawn) for drawn in resampling.weights()])),
        log_loss=_mean_interval(log_losses(answers), resampling),
        brier=_mean_interval(briers(answers), resampling),
        auc=_known(_interval(np.concatenate([_auc(answers, drawn, apart) for drawn in resampling.weights()]))),
        direction_auc=_known(
            _interval(np.concatenate([_direction(answers, drawn, apart) for drawn in resampling.weights()]))
        ),
    )


def _mean_interval(values: Array, resampling: Resampling) -> Interval:
    return _interval(np.concatenate([_mean(values, drawn) for drawn in resampling.weights()]))


def _by_fold(fold: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return np.split(np.arange(fold.size), np.flatnonzero(np.diff(fold)) + 1)


def _mean(values: Array, drawn: Array) -> Array:
    return np.asarray(drawn @ values / drawn.sum(axis=1))


def _balanced(answers: Answers, drawn: Array) -> Array:
    shares = []
    for action in Action:
        happened = answers.truth == action
        with np.errstate(invalid="ignore"):
            shares.append(drawn[:, happened] @ answers.right[happened] / drawn[:, happened].sum(axis=1))
    return _mean_of_known(np.array(shares))


def _auc(answers: Answers, drawn: Array, apart: int) -> Array:
    """(rounds,): the mean over classes and folds, each fold as heavy as it is long."""
    areas, sizes = [], []
    for rows in _by_fold(answers.fold):
        for action in Action:
            happened = answers.truth[rows] == action
            scores = answers.probabilities[rows, action]
            areas.append(_area(scores, happened, answers.row[rows], drawn[:, rows], apart))
            sizes.append(float(rows.size))
    return _mean_of_known(np.array(areas), np.array(sizes))


def _direction(answers: Answers, drawn: Array, apart: int) -> Array:
    """(rounds,): the same for the odds of BUY to SELL, over the rows that were one of them."""
    areas, sizes = [np.full(len(drawn), np.nan)], [0.0]  # There may be a history that never moved.
    for rows in _by_fold(answers.fold):
        moved = rows[answers.truth[rows] != Action.HOLD]
        sell, buy = answers.probabilities[moved][:, [Action.SELL, Action.BUY]].T
        rises = answers.truth[moved] == Action.BUY
        odds = buy / np.maximum(buy + sell, SMALLEST_PROBABILITY)
        areas.append(_area(odds, rises, answers.row[moved], drawn[:, moved], apart))
        sizes.append(float(moved.size))
    return _mean_of_known(np.array(areas), np.array(sizes))


def _area(scores: Array, happened: npt.NDArray[np.bool_], row: Rows, drawn: Array, apart: int) -> Array:
    """(rounds,): how often a row that happened scores above one that did not, ties counting half, among the pairs that
    are more than `apart` candles apart; NaN where there is none.
    """
    won, met = _all_pairs(scores, happened, drawn)
    for first in range(0, scores.size, _STRETCH):
        ours = slice(first, first + _STRETCH)
        near = slice(*np.searchsorted(row, [row[ours][0] - apart, row[ours][-1] + apart + 1]))
        pairs = happened[ours, None] & ~happened[near] & (np.abs(row[ours, None] - row[near]) <= apart)
        wins = (np.sign(scores[ours, None] - scores[near]) + 1.0) / 2.0 * pairs
        won -= ((drawn[:, ours] @ wins) * drawn[:, near]).sum(axis=1)
        met -= ((drawn[:, ours] @ pairs.astype(np.float64)) * drawn[:, near]).sum(axis=1)
    with np.errstate(invalid="ignore"):
        # Counts of halves: what is left of them is whole, or nothing.
        return np.asarray(np.where(met > 0.25, won, np.nan) / met)


def _all_pairs(scores: Array, happened: npt.NDArray[np.bool_], drawn: Array) -> tuple[Array, Array]:
    """(rounds,) the pairs won by the row that happened, and (rounds,) all pairs, counted along the sorted scores."""
    order = np.argsort(scores, kind="stable")
    first_of_ties = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    sorted_ = drawn[:, order]
    hits = np.add.reduceat(sorted_ * happened[order], first_of_ties, axis=1)
    misses = np.add.reduceat(sorted_ * ~happened[order], first_of_ties, axis=1)
    below = np.cumsum(misses, axis=1) - misses / 2
    return (hits * below).sum(axis=1), hits.sum(axis=1) * misses.sum(axis=1)


def _mean_of_known(figures: Array, sizes: Array | None = None) -> Array:
    """(k, rounds) to (rounds,): the weighted mean of the figures that are not NaN; NaN where all are."""
    sizes = np.ones(len(figures)) if sizes is None else sizes
    known = ~np.isnan(figures) * sizes[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray((np.nan_to_num(figures) * known).sum(axis=0) / known.sum(axis=0))


def _interval(figures: Array) -> Interval:
    """From the figure itself and that of each round."""
    rounds = figures[1:][~np.isnan(figures[1:])]
    low, high = np.percentile(rounds, TAILS).tolist() if rounds.size else (np.nan, np.nan)
    return Interval(float(figures[0]), low, high)


def _known(interval: Interval) -> Interval | None:
    return None if isnan(interval.value) else interval
