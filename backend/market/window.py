"""The newest candles of a market, kept in memory from one candle to the next."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from django.db.models import Model
from django.utils import timezone

from engine.candles import COLUMNS
from market import candle_table
from market.calendar.sessions import Times
from market.candle_table import Array
from market.models import Symbol
from market.statements import Inserted

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CandleWindow:
    """At most `length` candles, oldest first: open times (n,) and values, COLUMNS x n."""

    length: int
    times: Times
    values: Array

    @classmethod
    def stored(cls, symbol: Symbol, interval: str, length: int, end: datetime | None = None) -> "CandleWindow":
        """The newest candles of the table that opened before `end`."""
        return cls(length, *candle_table.read(symbol.pk, interval, end=end, newest=length))

    @property
    def newest(self) -> datetime:
        """The open time of the last candle."""
        return _aware(self.times[-1])

    @property
    def columns(self) -> dict[str, Array]:
        return dict(zip(COLUMNS, self.values, strict=True))

    def followed_by(self, time: Times, values: Array) -> "CandleWindow":
        """The window that ends with this candle, 1 x COLUMNS."""
        times = np.concatenate([self.times, time])[-self.length :]
        return CandleWindow(self.length, times, np.concatenate([self.values, values.T], axis=1)[:, -self.length :])

    def store_newest(self, symbol: Symbol, interval: str, source: str, telling: Inserted[Any], row: Model) -> bool:
        """Stores the last candle, and with it a row that tells of it. Nothing, and False, where the table does not hold
        what this window has before it.

        Stored candles never change and none is removed: as many of them in the same time are the same.
        """
        since = _aware(self.times[0]) if len(self.times) == self.length else BEGINNING
        before = candle_table.Before(len(self.times) - 1, since)
        time, values, now = self.times[-1:], self.values[:, -1:].T, timezone.now()
        return candle_table.insert_and_tell(symbol.pk, interval, source, now, time, values, before, telling, row)


def _aware(time: np.datetime64) -> datetime:
    known: datetime = time.astype("datetime64[us]").item()
    return known.replace(tzinfo=UTC)
