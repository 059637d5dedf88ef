"""Drift of the features: the population stability index of new rows against the training rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.features import FEATURES
from engine.indicators import Array

Bins = npt.NDArray[np.int64]

DRIFT_WINDOW = 250
"""Candles that are compared with the training rows. Fewer neighbouring rows are too similar for a comparison."""

USUAL_LIMIT = 0.25
"""The customary limit of the index, for rows that are independent (Siddiqi, Credit Risk Scorecards, 2006)."""

LEEWAY = 1.5
"""The limit is this multiple of the highest index that a window of the training rows has against the others."""

WINDOW_STEPS = 5


@dataclass(frozen=True, slots=True)
class Profile:
    """The distribution of the features in the training rows.

    `edges` are the inner bounds of up to ten bins for each feature, `shares` the share of the rows in each bin;
    `spread` (14,) is the distance between the first and the ninth decile. A mean index above `limit` is drift.
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
        """The inverse of `to_json`, to the last bit."""
        edges, shares = (tuple(np.array(column) for column in stored[name]) for name in ("edges", "shares"))
        return cls(edges, shares, np.array(stored["spread"]), float(stored["limit"]))

    def indices(self, matrix: Array) -> Array:
        """The population stability index of each feature (14,) of rows (n, 14) against the training rows.

        The sum over the bins of (observed - expected) * ln(observed / expected); half a row is added to each bin.
        """
        bins = zip(matrix.T, self.edges, self.shares, strict=True)
        return np.array([_index(_observed(column, edges), expected) for column, edges, expected in bins])


def profile(matrix: Array) -> Profile:
    """The profile of the training rows (n, 14), all complete and in time order."""
    deciles = np.quantile(matrix, np.arange(1, 10) / 10, axis=0)
    edges = tuple(np.unique(column) for column in deciles.T)
    bins = [_bins(column, cuts) for column, cuts in zip(matrix.T, edges, strict=True)]
    sizes = [cuts.size + 1 for cuts in edges]
    counts = [np.bincount(column, minlength=size) for column, size in zip(bins, sizes, strict=True)]
    spread = deciles[-1] - deciles[0]
    # A feature that seldom changes has equal deciles: its whole range is used.
    spread = np.where(spread > 0, spread, np.ptp(matrix, axis=0))
    usual = [
        LEEWAY * _index_of_window([column[start : start + DRIFT_WINDOW] for column in bins], counts)
        for start in range(0, len(matrix) - DRIFT_WINDOW, DRIFT_WINDOW // WINDOW_STEPS)
    ]
    return Profile(edges, tuple(map(_shares, counts)), spread, max([USUAL_LIMIT, *usual]))


def _index_of_window(window: list[Bins], counts: list[Bins]) -> float:
    """The mean index of one window of the training rows against all others."""
    found = []
    for bins, total in zip(window, counts, strict=True):
        inside = np.bincount(bins, minlength=total.size)
        found.append(_index(_shares(inside), _shares(total - inside)))
    return float(np.mean(found))


@dataclass(frozen=True, slots=True)
class Drift:
    """`index` is the mean over the 14 features; `worst` are the three features with the highest index."""

    index: float
    limit: float
    worst: tuple[tuple[str, float], ...]

    @property
    def is_found(self) -> bool:
        return self.index > self.limit


def drift(known: Profile, matrix: Array) -> Drift | None:
    """The drift of the newest rows (n, 14); None where there are fewer than DRIFT_WINDOW."""
    if len(matrix) < DRIFT_WINDOW:
        return None
    indices = known.indices(matrix[-DRIFT_WINDOW:])
    worst = [(FEATURES[place], float(indices[place])) for place in np.argsort(-indices)[:3].tolist()]
    return Drift(float(indices.mean()), known.limit, tuple(worst))


def _index(observed: Array, expected: Array) -> float:
    return float(np.sum((observed - expected) * np.log(observed / expected)))


def _observed(column: Array, edges: Array) -> Array:
    return _shares(np.bincount(_bins(column, edges), minlength=edges.size + 1))


def _bins(column: Array, edges: Array) -> Bins:
    """The bin of each value; a value on an edge belongs to the bin below."""
    return np.searchsorted(edges, column, side="left")


def _shares(counts: Bins) -> Array:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * counts.size))
