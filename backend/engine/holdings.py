"""What an account in one instrument held at each close of a history, without a value for every candle."""

from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from engine.indicators import Array
from engine.orders import exact


@dataclass(slots=True)
class Holdings:
    """What the account held at each close, as runs of candles from an entry to its exit.

    At the closes of the rows entries[k] to exits[k] - 1 it holds quantities[k] and cash[k]; after them cash_after[k].
    The last run may be open: it has no exit yet.
    """

    initial: Decimal
    close: Array
    entries: list[int] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    quantities: list[Decimal] = field(default_factory=list)
    cash: list[Decimal] = field(default_factory=list)
    cash_after: list[Decimal] = field(default_factory=list)
    _peak: Decimal = Decimal(0)
    _peaked_runs: int = 0

    def opened(self, row: int, cash: Decimal, quantity: Decimal) -> None:
        self.entries.append(row)
        self.quantities.append(quantity)
        self.cash.append(cash)

    def closed(self, row: int, cash: Decimal) -> None:
        self.exits.append(row)
        self.cash_after.append(cash)

    def profits(self) -> list[Decimal]:
        """The net profit of each run that is closed: a run starts and ends with nothing but cash."""
        before = [self.initial, *self.cash_after]
        return [after - cash for cash, after in zip(before, self.cash_after, strict=False)]

    @property
    def last_cash(self) -> Decimal:
        """The cash at the end."""
        if len(self.entries) > len(self.exits):
            return self.cash[-1]
        return self.cash_after[-1] if self.exits else self.initial

    def peak_equity(self) -> Decimal:
        """The highest equity at any close so far, at the least the initial cash. To be asked between two runs."""
        self._peak = max(self._peak, self.initial)
        for run in range(self._peaked_runs, len(self.exits)):
            first, end = self.entries[run], self.exits[run]
            if end > first:
                highest = self.cash[run] + self.quantities[run] * exact(self.close[first:end].max())
                self._peak = max(self._peak, highest)
            self._peak = max(self._peak, self.cash_after[run])
        self._peaked_runs = len(self.exits)
        return self._peak

    def equity_at(self, row: int) -> Decimal:
        """The exact equity at the close of a row; the initial cash before the first one."""
        run = bisect_right(self.entries, row) - 1
        if run < 0:
            return self.initial
        if run < len(self.exits) and row >= self.exits[run]:
            return self.cash_after[run]
        return self.cash[run] + self.quantities[run] * exact(self.close[row])

    def quantity_array(self) -> Array:
        """The quantity held at each close, as floats."""
        return self._spread(0.0, [float(quantity) for quantity in self.quantities], [0.0] * len(self.exits))

    def equity_array(self) -> Array:
        """The equity at each close, as floats."""
        held, after = [float(cash) for cash in self.cash], [float(cash) for cash in self.cash_after]
        return self._spread(float(self.initial), held, after) + self.quantity_array() * self.close

    def _spread(self, initial: float, held: list[float], after: list[float]) -> Array:
        """One value for each row from the values before, during and after the runs."""
        values = np.empty(1 + len(held) + len(after))
        bounds = np.empty(values.size + 1, dtype=np.int64)
        values[0], values[1::2], values[2::2] = initial, held, after
        bounds[0], bounds[1:-1:2], bounds[2:-1:2], bounds[-1] = 0, self.entries, self.exits, self.close.size
        return np.repeat(values, np.diff(bounds))
