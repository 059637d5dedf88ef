"""Equity over time, in whole steps of money, and the few points of it that a picture needs."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.orders import Instrument

Counts = npt.NDArray[np.int64] | npt.NDArray[np.object_]

# Equity in steps is computed in floats: a few roundings of the last bit, of which this is a generous bound.
_ROUNDINGS = 16
_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Curve:
    """One value for each close: `counts[i]` steps of money, exact. Integers of 64 bits, or Python's own when larger."""

    counts: Counts
    step: Decimal

    def at(self, row: int) -> Decimal:
        return int(self.counts[row]) * self.step

    def floats(self) -> Array:
        return self.counts.astype(np.float64) / float(1 / self.step)

    def percent(self, initial: Decimal) -> float:
        """The change from the initial balance to the last close."""
        return float(100 * (self.at(-1) / initial - 1))


def exact_curve(values: Array, exact_at: Callable[[int], Decimal], instrument: Instrument) -> Curve:
    """Values rounded half-even to the money step, as if each had been computed in Decimal.

    `values` (n,) are floats within a few bits of the exact ones. Only where such a float cannot tell to which step it
    belongs, beside a tie, `exact_at` is asked: some rows in a million instead of all.
    """
    step = instrument.money_step
    scaled = values * float(1 / step)
    largest = float(np.max(np.abs(scaled), initial=0.0))
    counts = np.rint(scaled)
    unsure = _TIE + _ROUNDINGS * float(np.spacing(largest))
    doubtful = np.abs(np.abs(scaled - counts) - 0.5) <= unsure
    whole: Counts = counts.astype(np.int64) if largest < 2**62 else counts.astype(np.object_)
    for row in np.flatnonzero(doubtful).tolist():
        whole[row] = int((exact_at(row) / step).to_integral_value(ROUND_HALF_EVEN))
    return Curve(whole, step)


def thinned(values: Array, most: int) -> npt.NDArray[np.int64]:
    """At most `most` rows of a curve, in order: the first, the last, and the lowest and highest of equal stretches."""
    if values.size <= most:
        return np.arange(values.size)
    stretches = np.array_split(np.arange(values.size), (most - 2) // 2)
    kept = {0, values.size - 1}
    for rows in stretches:
        kept.add(int(rows[np.argmin(values[rows])]))
        kept.add(int(rows[np.argmax(values[rows])]))
    return np.array(sorted(kept), dtype=np.int64)
