"""What an account in one instrument held at each close of a history, without a value for every candle."""

from bisect import bisect_right
from decimal import Decimal

import numpy as np
from msgspec import Struct

from engine.indicators import Array
from engine.orders import Order, exact


class Run(Struct, frozen=True, gc=False):
    """A position from its entry to its exit.

    It is held at the closes of the rows `entry` to `exit` - 1, with `cash` beside it; `cash_after` is left. A run that
    is still open at the end of history has no sale, and its exit is behind the last row.
    """

    entry: int
    purchase: Order
    cash: Decimal
    exit: int
    sale: Order | None
    cash_after: Decimal


class Holdings:
    """The runs of a history, in order. Between them there is nothing but cash."""

    def __init__(self, initial: Decimal, close: Array) -> None:
        self.initial, self.close = initial, close
        self.runs: list[Run] = []
        self.entries: list[int] = []
        self._peak, self._peaked = initial, 0

    def add(self, run: Run) -> None:
        self.runs.append(run)
        self.entries.append(run.entry)

    @property
    def last_cash(self) -> Decimal:
        """The cash at the end."""
        return self.runs[-1].cash_after if self.runs else self.initial

    def profits(self) -> list[Decimal]:
        """The net profit of each run that is closed: a run starts and ends with nothing but cash."""
        after = [run.cash_after for run in self.runs if run.sale is not None]
        return [end - start for start, end in zip([self.initial, *after], after, strict=False)]

    def peak_equity(self) -> Decimal:
        """The highest equity at any close so far, at the least the initial cash. To be asked between two runs."""
        for run in self.runs[self._peaked :]:
            self._peak = max(self._peak, run.cash_after)
            if run.exit > run.entry:
                highest = exact(self.close[run.entry : run.exit].max())
                self._peak = max(self._peak, run.cash + run.purchase.quantity * highest)
        self._peaked = len(self.runs)
        return self._peak

    def equity_at(self, row: int) -> Decimal:
        """The exact equity at the close of a row; the initial cash before the first one."""
        number = bisect_right(self.entries, row) - 1
        if number < 0:
            return self.initial
        run = self.runs[number]
        return run.cash_after if row >= run.exit else run.cash + run.purchase.quantity * exact(self.close[row])

    def quantity_array(self) -> Array:
        """The quantity held at each close, as floats."""
        return self._spread(0.0, [float(run.purchase.quantity) for run in self.runs], [0.0] * len(self.runs))

    def equity_array(self) -> Array:
        """The equity at each close, as floats."""
        held, after = [float(run.cash) for run in self.runs], [float(run.cash_after) for run in self.runs]
        equity = self.quantity_array()
        equity *= self.close
        equity += self._spread(float(self.initial), held, after)
        return equity

    def _spread(self, initial: float, held: list[float], after: list[float]) -> Array:
        """One value for each row from the values before, during and after the runs."""
        values = np.empty(1 + 2 * len(held))
        bounds = np.empty(values.size + 1, dtype=np.int64)
        values[0], values[1::2], values[2::2] = initial, held, after
        bounds[0], bounds[1:-1:2], bounds[-1] = 0, self.entries, self.close.size
        bounds[2:-1:2] = [run.exit for run in self.runs]
        return np.repeat(values, np.diff(bounds))
