"""What an account in one instrument held at each close of a history, without a value for every candle."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from msgspec import Struct

from engine.history import Rows
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


class Course:
    """The runs so far, for an account that is between two of them."""

    def __init__(self, initial: Decimal, close: Array) -> None:
        self.initial, self.close = initial, close
        self.runs: list[Run] = []
        self.entries: list[int] = []
        self._peak, self._peaked = initial, 0

    def add(self, run: Run) -> None:
        self.runs.append(run)
        self.entries.append(run.entry)

    def peak_equity(self) -> Decimal:
        """The highest equity at any close so far, at the least the initial cash."""
        for run in self.runs[self._peaked :]:
            self._peak = max(self._peak, run.cash_after)
            if run.exit > run.entry:
                highest = exact(self.close[run.entry : run.exit].max())
                self._peak = max(self._peak, run.cash + run.purchase.quantity * highest)
        self._peaked = len(self.runs)
        return self._peak

    def equity_at(self, row: int) -> Decimal:
        return equity_at(row, self.initial, self.entries, self.runs, self.close)


class Holdings(ABC):
    """The runs of a history, in order: between them there is nothing but cash.

    Arrays have one value for each run: rows of entry and exit, the quantity held, the cash during and after it.
    """

    initial: Decimal
    close: Array
    entries: Rows
    exits: Rows
    quantities: Array
    cash: Array
    cash_after: Array

    @property
    @abstractmethod
    def runs(self) -> Sequence[Run]:
        """The same with every digit."""

    @abstractmethod
    def profits(self) -> list[Decimal]:
        """The net profit of each run that is closed: a run starts and ends with nothing but cash."""

    @property
    def last_cash(self) -> Decimal:
        """The cash at the end."""
        return self.runs[-1].cash_after if self.runs else self.initial

    def equity_at(self, row: int) -> Decimal:
        """The exact equity at the close of a row; the initial cash before the first run."""
        return equity_at(row, self.initial, self.entries, self.runs, self.close)

    def quantity_array(self) -> Array:
        """The quantity held at each close, as floats."""
        return self._spread(0.0, self.quantities, np.zeros(self.quantities.size))

    def equity_array(self) -> Array:
        """The equity at each close, as floats."""
        equity = self.quantity_array()
        equity *= self.close
        equity += self._spread(float(self.initial), self.cash, self.cash_after)
        return equity

    def _spread(self, initial: float, held: Array, after: Array) -> Array:
        """One value for each row from the values before, during and after the runs."""
        values = np.empty(1 + 2 * held.size)
        bounds = np.empty(values.size + 1, dtype=np.int64)
        values[0], values[1::2], values[2::2] = initial, held, after
        bounds[0], bounds[1:-1:2], bounds[2:-1:2], bounds[-1] = 0, self.entries, self.exits, self.close.size
        return np.repeat(values, np.diff(bounds))


class PlayedHoldings(Holdings):
    """Holdings of a history that was played run by run."""

    def __init__(self, course: Course) -> None:
        self.initial, self.close, self._runs = course.initial, course.close, course.runs
        self.entries = np.array(course.entries, dtype=np.int64)
        self.exits = np.array([run.exit for run in course.runs], dtype=np.int64)
        self.quantities = np.array([float(run.purchase.quantity) for run in course.runs])
        self.cash = np.array([float(run.cash) for run in course.runs])
        self.cash_after = np.array([float(run.cash_after) for run in course.runs])

    @property
    def runs(self) -> list[Run]:
        return self._runs

    def profits(self) -> list[Decimal]:
        after = [run.cash_after for run in self._runs if run.sale is not None]
        return [end - start for start, end in zip([self.initial, *after], after, strict=False)]


def equity_at(row: int, initial: Decimal, entries: Sequence[int] | Rows, runs: Sequence[Run], close: Array) -> Decimal:
    """The exact equity at the close of a row, by the runs up to it; the initial cash before the first one."""
    number = bisect_right(entries, row) - 1
    if number < 0:
        return initial
    run = runs[number]
    return run.cash_after if row >= run.exit else run.cash + run.purchase.quantity * exact(close[row])
