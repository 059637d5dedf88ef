"""A file of real candles as a market: what has closed so far, and the first price after a moment."""

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from market.sources import csv_file

# Enough for every indicator and for a first model; the rest of the file is played.
LONGEST_HISTORY = 1000
HISTORY_SHARE = 0.5


class Price(NamedTuple):
    """A price that could be had at that time."""

    time: datetime
    price: float


class ReplaySource:
    """Its clock is the last candle that was taken from it, so it goes on where it stopped."""

    name = "replay"

    def __init__(self, candles: pd.DataFrame) -> None:
        self.candles = candles

    @classmethod
    def of_file(cls, symbol: str, interval: str) -> "ReplaySource":
        """Raises MarketError when there is no sound file for the symbol."""
        path = csv_file.find(symbol, interval)
        return _opened(path, interval, path.stat().st_mtime_ns)

    def history(self) -> pd.DataFrame:
        """The candles that are known before the play begins."""
        return self.candles.iloc[: min(LONGEST_HISTORY, int(len(self.candles) * HISTORY_SHARE))]

    def closed_after(self, time: datetime) -> pd.DataFrame:
        """The next candle after the one that opened at `time`; an empty frame at the end of the file."""
        row = int(self.candles.index.searchsorted(pd.Timestamp(time), side="right"))
        return self.candles.iloc[row : row + 1]

    def first_price_after(self, time: datetime) -> Price | None:
        """The open of the first candle from `time` on, or None at the end of the file."""
        row = int(self.candles.index.searchsorted(pd.Timestamp(time)))
        if row == len(self.candles):
            return None
        return Price(self.candles.index[row].to_pydatetime(), float(self.candles["open"].iloc[row]))


@lru_cache(maxsize=64)
def _opened(path: Path, interval: str, changed: int) -> ReplaySource:
    """A file is read again when it changed."""
    return ReplaySource(csv_file.read(path, interval))
