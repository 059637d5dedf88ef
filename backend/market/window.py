"""The newest candles of a market, kept in memory from one candle to the next."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from engine.candles import COLUMNS
from market import candle_table
from market.candle_table import Array
from market.models import Symbol
from market.sessions import Times
from market.statements import fetch

COUNT = "SELECT count(*) FROM market_candle WHERE symbol_id = %s AND interval = %s AND open_time >= %s"
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

    def followed_by(self, times: Times, values: Array) -> "CandleWindow":
        """The window after candles, rows x COLUMNS, that all come later."""
        times = np.concatenate([self.times, times])[-self.length :]
        return CandleWindow(self.length, times, np.concatenate([self.values, values.T], axis=1)[:, -self.length :])

    def is_stored(self, symbol: Symbol, interval: str) -> bool:
        """Whether these are the newest candles of the table.

        Stored candles never change and none is removed: as many of them in the same time are the same.
        """
        oldest = _aware(self.times[0]) if len(self.times) == self.length else BEGINNING
        ((count,),) = fetch(COUNT, [symbol.pk, interval, oldest])
        return bool(count == len(self.times))


def _aware(time: np.datetime64) -> datetime:
    known: datetime = time.astype("datetime64[us]").item()
    return known.replace(tzinfo=UTC)
