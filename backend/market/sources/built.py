"""Higher intervals as a source: built from stored candles of a lower one, where no venue serves them."""

from datetime import datetime, timedelta

import pandas as pd

from engine.candles import interval_length
from market.aggregation import aggregate
from market.errors import NotServed
from market.models import Symbol
from market.selectors import candle_frame
from market.sessions import session_of
from market.sources.base import Answer, Price, Prices, Terms

# A day of forex begins on the evening before its date, and the night between lies in no candle.
BEFORE = timedelta(days=2)


class BuiltSource:
    prices = Prices.AS_GIVEN

    def __init__(self, symbol: Symbol, lower: str, higher: str) -> None:
        self.name = f"built:{lower}"
        self.intervals = frozenset({higher})
        self._symbol = symbol
        self._lower = lower

    def earliest(self, interval: str, now: datetime) -> None:
        return None

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        """The whole candles only: one that lacks a part is left out, and is built when the part has come."""
        lower = candle_frame(self._symbol, self._lower, start - interval_length(interval) - BEFORE, end)
        session = session_of(self._symbol.symbol, self._symbol.kind)
        built = aggregate(lower, self._lower, interval, session).candles
        return built[(built.index >= start) & (built.index < end)]

    def fetch(self, symbol: str, interval: str, start: datetime, end: datetime) -> Answer:
        return Answer(self.candles(symbol, interval, start, end), self)

    def quote(self, symbol: str) -> Price:
        raise NotServed(self.name, "built candles have no price of now")

    def terms(self, symbol: str) -> Terms:
        raise NotServed(self.name, "built candles state no steps of price or quantity")
