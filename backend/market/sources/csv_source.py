"""The user's own candle files as a source."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import pandas as pd

from engine.candles import INTERVALS, interval_length
from market.errors import CandleFileError, CandleFileMissing, NotServed
from market.sources import csv_file
from market.sources.base import Price, Prices, VenueTerms
from market.sources.client import HttpSettings


class CsvSource:
    """A file covers a limited period; another source has to serve what lies outside of it."""

    name = "csv"
    prices = Prices.AS_GIVEN
    intervals = frozenset(INTERVALS)

    def __init__(self, folders: Sequence[Path] | None = None, http: HttpSettings | None = None) -> None:
        self._folders = folders
        self._http = http or HttpSettings()

    def earliest(self, interval: str, now: datetime) -> None:
        return None

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        """The candles of the file within start..end. Raises NotServed where it covers none of that period."""
        try:
            path = csv_file.find(symbol, interval, self._folders)
            frame = _opened(path, interval, path.stat().st_mtime_ns)
        except (CandleFileError, CandleFileMissing) as error:
            raise NotServed(self.name, str(error)) from error
        first, last = frame.index[0].to_pydatetime(), frame.index[-1].to_pydatetime()
        length = interval_length(interval)
        if start >= last + length or end <= first:
            raise NotServed(self.name, f"{path} holds {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC only")
        # The last candle of a fresh file may still be forming.
        closed = frame.index <= pd.Timestamp(self._http.clock() - length)
        return frame[closed & (frame.index >= pd.Timestamp(start)) & (frame.index < pd.Timestamp(end))]

    def quote(self, symbol: str) -> Price:
        raise NotServed(self.name, "a file has no current prices")

    def terms(self, symbol: str) -> VenueTerms:
        raise NotServed(self.name, "a file states no steps of price or quantity")


@lru_cache(maxsize=16)
def _opened(path: Path, interval: str, changed: int) -> pd.DataFrame:
    """`changed`, the modification time, makes a changed file another cache key."""
    return csv_file.read(path, interval)
