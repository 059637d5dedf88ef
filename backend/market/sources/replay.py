"""A file of real candles played as a market: what has closed so far, and the first price after a time."""

from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from market.calendar.sessions import aware, moment, times_of
from market.sources import csv_file
from market.sources.base import FIRST_CANDLES, FIRST_SPAN, Price

# Something of a short file must be left to play.
HISTORY_SHARE = 0.5

__all__ = ["Price", "ReplaySource"]


class ReplaySource:
    """Its clock is the last candle that was taken from it, so that it resumes where it stopped."""

    name = "replay"

    def __init__(self, candles: pd.DataFrame, start: datetime | None = None) -> None:
        self.candles = candles
        self.start = start
        self._times = times_of(candles.index)
        self._opens = candles["open"].to_numpy()

    @classmethod
    def of_file(cls, symbol: str, interval: str) -> "ReplaySource":
        """Raises MarketError when there is no sound file for the symbol."""
        path = csv_file.find(symbol, interval)
        return _opened(path, interval, path.stat().st_mtime_ns)

    @property
    def usual_start(self) -> datetime:
        """The open time of the first candle that is played by default."""
        return self.candles.index[self._usual_history()].to_pydatetime()

    def beginning_at(self, start: datetime) -> "ReplaySource":
        """The same file, played from another time on where that leaves candles on both sides."""
        inside = self.candles.index[0] < pd.Timestamp(start) <= self.candles.index[-1]
        return ReplaySource(self.candles, start if inside else None)

    def history(self) -> pd.DataFrame:
        """The candles that are known before the replay begins."""
        if self.start is None:
            return self.candles.iloc[: self._usual_history()]
        return self.candles.iloc[: int(self.candles.index.searchsorted(pd.Timestamp(self.start)))]

    def _usual_history(self) -> int:
        """As much history as a live market starts with; the rest of the file is played."""
        span = int(self._times.searchsorted(self._times[0] + np.timedelta64(FIRST_SPAN)))
        return min(max(FIRST_CANDLES, span), int(len(self.candles) * HISTORY_SHARE))

    def closed_after(self, time: datetime) -> pd.DataFrame:
        """The next candle after the one that opened at `time`; an empty frame at the end of the file."""
        row = int(self._times.searchsorted(moment(time), side="right"))
        return self.candles.iloc[row : row + 1]

    def first_price_after(self, time: datetime) -> Price | None:
        """The open of the first candle from `time` on, or None at the end of the file."""
        row = int(self._times.searchsorted(moment(time)))
        if row == len(self._times):
            return None
        return Price(aware(self._times[row]), float(self._opens[row]))


@lru_cache(maxsize=64)
def _opened(path: Path, interval: str, changed: int) -> ReplaySource:
    """`changed`, the modification time, makes a changed file another cache key."""
    return ReplaySource(csv_file.read(path, interval))
