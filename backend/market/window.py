"""The newest candles of a market, kept in memory from one candle to the next."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from database import candles
from database.candles import Array, Times
from engine.candles import COLUMNS
from market.models import Candle, Symbol


@dataclass(frozen=True, slots=True)
class CandleWindow:
    """At most `length` candles, oldest first: open times (n,) and values, COLUMNS x n."""

    length: int
    times: Times
    values: Array

    @classmethod
    def stored(cls, symbol: Symbol, interval: str, length: int, end: datetime | None = None) -> "CandleWindow":
        """The newest candles of the table that opened before `end`."""
        return cls(length, *candles.read(symbol.pk, interval, end=end, newest=length))

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

    def is_stored(self, symbol: Symbol, interval: str) -> bool:
        """Whether the table holds these candles up to the newest, and no others.

        Stored candles never change and none is removed: as many of them in the same time are the same.
        """
        stored = Candle.objects.filter(symbol=symbol, interval=interval, open_time__lte=self.newest)
        if len(self.times) == self.length:
            stored = stored.filter(open_time__gte=_aware(self.times[0]))
        return stored.count() == len(self.times)


def _aware(time: np.datetime64) -> datetime:
    known: datetime = time.astype("datetime64[us]").item()
    return known.replace(tzinfo=UTC)
