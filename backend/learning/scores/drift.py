"""When a champion has to go: its market is another one than it has learned, or its answers are worse than none.

Three signs, each with a limit that chance seldom passes: the features are spread unlike those of its training
(population stability index), its probabilities promise more than they keep, or the class frequencies of its training
foretell better than it does. The last two are bets as in `promotion`: they may be read at any time, and a sound
champion is ever accused by one of them with a probability of 1 in 100 at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.features import FEATURES
from engine.indicators import Array
from learning.promotion.trial import DEGRADATION_EVIDENCE, Classes, Rows, apart, bounded, fortunes, trial

Cells = npt.NDArray[np.int64]

DRIFT_WINDOW = 250
"""Candles that are compared with the training rows: with fewer, neighbouring rows are too much alike to tell."""

USUAL_LIMIT = 0.25
"""The customary limit of the index, for rows that are independent (Siddiqi, Credit Risk Scorecards, 2006)."""

LEEWAY = 1.5
"""How far beyond the most unusual window of the training itself a window has to be."""

TOLERANCE = 0.05
"""By how many nats a snapshot may surprise a champion more than its own probabilities promise."""

WINDOW_STEPS = 5


@dataclass(frozen=True, slots=True)
class Profile:
    """What the features of the training rows looked like, and how unlike them windows of the training rows were.

    `edges` holds the inner bounds of up to ten cells for each feature, `shares` the share of the rows in each; `spread`
    (14,) is the distance between the first and the ninth decile. `limit` is the highest mean index that is no drift.
    """

    edges: tuple[Array, ...]
    shares: tuple[Array, ...]
    spread: Array
    limit: float

    def to_json(self) -> dict[str, Any]:
        return {
            "edges": [edges.tolist() for edges in self.edges],
            "shares": [shares.tolist() for shares in self.shares],
            "spread": self.spread.tolist(),
            "limit": self.limit,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Profile":
        """What `to_json` gave, to the last bit."""
        edges, shares = (tuple(np.array(column) for column in stored[name]) for name in ("edges", "shares"))
        return cls(edges, shares, np.array(stored["spread"]), float(stored["limit"]))

    def indices(self, matrix: Array) -> Array:
        """The population stability index of each feature (14,) of rows (n, 14) against the training rows.

        The sum over the cells of (seen - expected) * ln(seen / expected); half a row is added to each cell.
        """
        cells = zip(matrix.T, self.edges, self.shares, strict=True)
        return np.array([_index(_seen(column, edges), expected) for column, edges, expected in cells])


def profile(matrix: Array) -> Profile:
    """Of the training rows (n, 14), all of them complete and in order of time."""
    deciles = np.quantile(matrix, np.arange(1, 10) / 10, axis=0)
    edges = tuple(np.unique(column) for column in deciles.T)
    cells = [_cells(column, cuts) for column, cuts in zip(matrix.T, edges, strict=True)]
    sizes = [cuts.size + 1 for cuts in edges]
    counts = [np.bincount(column, minlength=size) for column, size in zip(cells, sizes, strict=True)]
    spread = deciles[-1] - deciles[0]
    # What hardly ever moves has no deciles apart, and yet a usual size.
    spread = np.where(spread > 0, spread, np.ptp(matrix, axis=0))
    usual = [
        LEEWAY * _unlike_the_rest([column[start : start + DRIFT_WINDOW] for column in cells], counts)
        for start in range(0, len(matrix) - DRIFT_WINDOW, DRIFT_WINDOW // WINDOW_STEPS)
    ]
    return Profile(edges, tuple(map(_shares, counts)), spread, max([USUAL_LIMIT, *usual]))


def _unlike_the_rest(window: list[Cells], counts: list[Cells]) -> float:
    """The mean index of one window of the training rows against all others, as it will be for one that comes after."""
    found = []
    for cells, total in zip(window, counts, strict=True):
        inside = np.bincount(cells, minlength=total.size)
        found.append(_index(_shares(inside), _shares(total - inside)))
    return float(np.mean(found))


@dataclass(frozen=True, slots=True)
class Drift:
    """`index` is the mean over the 14 features; `worst` names those that moved most, with theirs."""

    index: float
    limit: float
    worst: tuple[tuple[str, float], ...]

    @property
    def is_found(self) -> bool:
        return self.index > self.limit


def drift(known: Profile, matrix: Array) -> Drift | None:
    """Of the newest rows (n, 14); None while there are too few of them."""
    if len(matrix) < DRIFT_WINDOW:
        return None
    indices = known.indices(matrix[-DRIFT_WINDOW:])
    worst = [(FEATURES[place], float(indices[place])) for place in np.argsort(-indices)[:3].tolist()]
    return Drift(float(indices.mean()), known.limit, tuple(worst))


@dataclass(frozen=True, slots=True)
class Accusation:
    """`excess` is the mean that the champion lost too much in nats, over `counted` snapshots."""

    counted: int
    excess: float
    evidence: float

    @property
    def is_proved(self) -> bool:
        return self.evidence >= DEGRADATION_EVIDENCE


def degradation(answers: Array, frequencies: Array, truth: Classes, rows: Rows, horizon: int) -> Accusation:
    """That the class frequencies (3,) of the training foretell better than the champion's answers (n, 3)."""
    found = trial(answers, np.broadcast_to(frequencies, answers.shape), truth, rows, horizon)
    return Accusation(found.counted, found.gain, found.evidence)


def broken_promises(answers: Array, truth: Classes, rows: Rows, horizon: int) -> Accusation:
    """That what happens surprises the champion by more than its answers (n, 3) say: they are not calibrated any more.

    A forecaster who means his probabilities expects to lose their entropy.
    """
    counted = apart(rows, horizon)
    p = bounded(answers[counted])
    losses = -np.log(p)
    excess = losses - (p * losses).sum(axis=1, keepdims=True) - TOLERANCE
    happened = excess[np.arange(counted.size), truth[counted]]
    if not counted.size:
        return Accusation(0, 0.0, 1.0)
    evidence = fortunes(happened, np.abs(excess).max(axis=1))[-1]
    return Accusation(counted.size, float(happened.mean()), float(evidence))


def _index(seen: Array, expected: Array) -> float:
    return float(np.sum((seen - expected) * np.log(seen / expected)))


def _seen(column: Array, edges: Array) -> Array:
    return _shares(np.bincount(_cells(column, edges), minlength=edges.size + 1))


def _cells(column: Array, edges: Array) -> Cells:
    """The cell of each value; a value on an edge belongs below it."""
    return np.searchsorted(edges, column, side="left")


def _shares(counts: Cells) -> Array:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * counts.size))
