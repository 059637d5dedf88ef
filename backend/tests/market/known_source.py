"""A source that tells what a frame holds, and may forget, repeat or change its mind."""

from datetime import datetime

import pandas as pd

from market.errors import SourceDown
from market.sources.base import FetchedCandles, Price, Prices, VenueTerms


class KnownSource:
    prices = Prices.AS_TRADED

    def __init__(
        self, candles: pd.DataFrame, name: str = "bybit", intervals: frozenset[str] = frozenset({"1h"})
    ) -> None:
        self.reported = candles
        self.name = name
        self.intervals = intervals
        self.asked: list[tuple[datetime, datetime]] = []
        self.down = False
        self.known_terms = VenueTerms(name)

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        self.asked.append((start, end))
        if self.down:
            raise SourceDown(self.name, "does not answer")
        times = self.reported.index
        return self.reported[(times >= start) & (times < end)]

    def terms(self, symbol: str) -> VenueTerms:
        return self.known_terms

    def quote(self, symbol: str) -> Price:
        return Price(self.reported.index[-1].to_pydatetime(), float(self.reported["close"].iloc[-1]))

    def earliest(self, interval: str, now: datetime) -> datetime | None:
        return None

    def fetch(self, symbol: str, interval: str, start: datetime, end: datetime) -> FetchedCandles:
        return FetchedCandles(self.candles(symbol, interval, start, end), self)

    def without(self, *rows: int) -> "KnownSource":
        """The same source, from which these candles are missing; rows count from the first."""
        return KnownSource(self.reported.drop(self.reported.index[list(rows)]), self.name, self.intervals)

    def with_closes(self, row: int, close: float) -> "KnownSource":
        """The same source with another close of one candle."""
        changed = self.reported.copy()
        changed.iloc[row, changed.columns.get_loc("close")] = close
        changed.iloc[row, changed.columns.get_loc("high")] = max(close, changed["high"].iloc[row])
        changed.iloc[row, changed.columns.get_loc("low")] = min(close, changed["low"].iloc[row])
        return KnownSource(changed, self.name, self.intervals)
