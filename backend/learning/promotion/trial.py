"""When a challenger has earned the champion's place: a bet against it that can be read at any time.

Both answer the same snapshots. The gain of a snapshot is the champion's log loss less the challenger's. Labels that
look `horizon` candles ahead overlap, and what is half known already is no news: only every snapshot whose label window
begins after the last counted one has closed is counted.

Whoever believes that the challenger is not better bets on every counted snapshot. A fortune of 1 is staked on the
gains, never more of it than the two answers, which are known before, could cost. If the challenger is not better, the
fortune is not expected to grow, and it ever reaches 40 with a probability of 1 in 40 at most (Ville's inequality). So
it may be looked at after every candle, for ever: looking costs nothing. A t-test that is repeated until it is
significant promotes three of four equals.

Sources: Jean Ville, Étude critique de la notion de collectif, 1939; Alexander Henzi and Johanna Ziegel, Valid
sequential inference on probability forecast performance, Biometrika 109, 2022; Ian Waudby-Smith and Aaditya Ramdas,
Estimating means of bounded random variables by betting, JRSS B 86, 2024.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.indicators import Array

Classes = npt.NDArray[np.int8]
Rows = npt.NDArray[np.int64]

PROMOTION_EVIDENCE = 40.0
"""One in 40 equally skilled challengers may reach it, however long the trial. Errors that outlast a label make the bets
a little too hopeful; what is left up to one in 20 is for them (`benchmarks/promotion.py`)."""

DEGRADATION_EVIDENCE = 100.0

STAKES = np.array([0.25, 0.5, 1.0])
"""Shares of the fortune for each nat. It is split evenly over them: nobody knows how large the advantage is."""

LARGEST_LOSS = 0.3
"""The share of the fortune that one snapshot may cost."""

LARGEST_LOGARITHM = 700.0

SMALLEST_PROBABILITY = 0.02
"""What a probability counts as at least: one bold mistake does not decide a trial."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`counted` snapshots of those that both answered; `gain` is the mean of what the challenger saved, in nats.

    `evidence` is the fortune at the end.
    """

    counted: int
    gain: float
    evidence: float

    @property
    def is_won(self) -> bool:
        return self.evidence >= PROMOTION_EVIDENCE


def trial(champion: Array, challenger: Array, truth: Classes, rows: Rows, horizon: int) -> Trial:
    """Of answers (n, 3) to the same snapshots, whose labels `truth` (n,) have closed.

    `rows` (n,) are the places of their candles in the market, rising; they tell whose label windows overlap.
    """
    gains, ranges, _ = _counted(champion, challenger, truth, rows, horizon)
    course = fortunes(gains, ranges)
    return Trial(gains.size, *((float(gains.mean()), float(course[-1])) if gains.size else (0.0, 1.0)))


def first_won(champion: Array, challenger: Array, truth: Classes, rows: Rows, horizon: int) -> int | None:
    """The place of the snapshot whose label won the trial, if it was looked at after every candle."""
    gains, ranges, counted = _counted(champion, challenger, truth, rows, horizon)
    won = np.flatnonzero(fortunes(gains, ranges) >= PROMOTION_EVIDENCE)
    return int(counted[won[0]]) if won.size else None


def apart(rows: Rows, horizon: int) -> Rows:
    """The places in `rows` of those that are counted: the first, and each whose label window begins after the last."""
    kept, free = [], -1
    for place, row in enumerate(rows.tolist()):
        if row >= free:
            kept.append(place)
            free = row + horizon
    return np.array(kept, dtype=np.int64)


def fortunes(gains: Array, ranges: Array) -> Array:
    """What 1 has become after each of n bets on gains, none of them beyond its range, which was known before."""
    most = np.divide(LARGEST_LOSS, ranges, out=np.zeros(ranges.size), where=ranges > 0)
    courses = np.cumsum(np.log1p(np.minimum(STAKES, most[:, None]) * gains[:, None]), axis=0)
    return np.asarray(np.exp(np.minimum(courses, LARGEST_LOGARITHM)).mean(axis=1))


def bounded(probabilities: Array) -> Array:
    """No class below SMALLEST_PROBABILITY, and each row adds up to 1."""
    raised = np.maximum(probabilities, SMALLEST_PROBABILITY)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _counted(champion: Array, challenger: Array, truth: Classes, rows: Rows, horizon: int) -> tuple[Array, Array, Rows]:
    """The gains of the counted snapshots, the largest that were possible, and the places of those snapshots."""
    counted = apart(rows, horizon)
    saved = np.log(bounded(challenger[counted]) / bounded(champion[counted]))
    return saved[np.arange(counted.size), truth[counted]], np.abs(saved).max(axis=1, initial=0.0), counted
