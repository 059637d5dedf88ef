"""The newest candles of a market, kept in memory from one candle to the next."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from django.utils import timezone

from engine.candles import COLUMNS
from market import candle_table
from market.candle_table import Array
from market.models import Symbol
from market.sessions import Times

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

    def followed_by(
        self, symbol: Symbol, interval: str, source: str, times: Times, values: Array
    ) -> "CandleWindow | None":
        """Stores candles, rows x COLUMNS, and gives the newest candles of the table. None where the window has to be
        read for that: the candles may not be stored then.

        Stored candles never change and none is removed: as many of them in the same time are the same.
        """
        if times[0] <= self.times[-1]:
            return None
        times_now = np.concatenate([self.times, times])[-self.length :]
        values_now = np.concatenate([self.values, values.T], axis=1)[:, -self.length :]
        oldest = _aware(times_now[0]) if len(times_now) == self.length else BEGINNING
        count = candle_table.insert_and_count(symbol.pk, interval, source, timezone.now(), times, values, oldest)
        return CandleWindow(self.length, times_now, values_now) if count == len(times_now) else None


def _aware(time: np.datetime64) -> datetime:
    known: datetime = time.astype("datetime64[us]").item()
    return known.replace(tzinfo=UTC)
