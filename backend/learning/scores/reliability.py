"""How often things happened that were said to be so likely: the curve that a calibrated model has on the diagonal."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.orders import Action

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """`rows` answers that are next to each other in size: the mean of what they said, and how often it happened."""

    said: float
    happened: float
    rows: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """The curve of one class. `error` is the distance from the diagonal, each bin as heavy as it has rows.

    Source of the error: Mahdi Pakdaman Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning,
    2015, with bins of equal size instead of equal width.
    """

    bins: tuple[Bin, ...]
    error: float


def reliability(probabilities: Array, truth: npt.NDArray[np.int8]) -> tuple[Reliability, ...]:
    """One curve for each of SELL, HOLD and BUY, from answers (n, 3) to n rows, n at least 1."""
    return tuple(_curve(probabilities[:, action], truth == action) for action in Action)


def _curve(said: Array, happened: npt.NDArray[np.bool_]) -> Reliability:
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if part.size]
    bins = tuple(Bin(float(said[part].mean()), float(happened[part].mean()), part.size) for part in parts)
    error = sum(abs(one.said - one.happened) * one.rows for one in bins) / said.size
    return Reliability(bins, error)
