"""Equity over time, in whole steps of money, and the few points of it that a picture needs."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from engine.orders import Array, Ticks


@dataclass(frozen=True, slots=True)
class Curve:
    """One value for each moment: `counts[i]` steps of money. Integers of 64 bits, or Python's own when larger."""

    counts: Ticks
    step: Decimal

    def at(self, row: int) -> Decimal:
        return int(self.counts[row]) * self.step

    def floats(self) -> Array:
        found: Array = self.counts.astype(np.float64)
        found /= float(1 / self.step)
        return found

    def percent(self, initial: Decimal) -> float:
        """The change from the initial balance to the last close."""
        return float(100 * (self.at(-1) / initial - 1))


def thinned(values: npt.NDArray[np.number], most: int) -> npt.NDArray[np.int64]:
    """At most `most` rows of a curve, in order: the first, the last, and the lowest and highest of equal stretches."""
    if values.size <= most:
        return np.arange(values.size)
    kept, first = {0, values.size - 1}, 0
    for stretch in np.array_split(values, (most - 2) // 2):
        kept |= {first + int(stretch.argmin()), first + int(stretch.argmax())}
        first += stretch.size
    return np.array(sorted(kept), dtype=np.int64)
