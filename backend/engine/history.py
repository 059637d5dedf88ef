"""Candles and chosen actions in the form that jumping from trade to trade needs."""

from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.candles import interval_length
from engine.indicators import Array
from engine.orders import Action, Quote
from engine.risk import Rules

Actions = npt.NDArray[np.int8]
Rows = npt.NDArray[np.int64]


class History:
    """n candles with an action, a confidence and a 20-candle deviation for each."""

    def __init__(
        self, candles: pd.DataFrame, actions: Actions, confidence: Array, volatility: Array, interval: str
    ) -> None:
        self.index = pd.DatetimeIndex(candles.index)
        self.open, self.high, self.low, self.close = (
            candles[name].to_numpy() for name in ("open", "high", "low", "close")
        )
        self.actions, self.confidence, self.volatility = actions, confidence, volatility
        self.rows = len(candles)
        self.seconds = self.index.as_unit("s").asi8
        self.length = int(interval_length(interval).total_seconds())

    @cached_property
    def next_buy(self) -> Rows:
        """For each row, and one behind the last, the first row from it on with a BUY; the number of rows if none."""
        return _next(self.actions == Action.BUY)

    @cached_property
    def next_sell(self) -> Rows:
        return _next(self.actions == Action.SELL)

    def open_time(self, row: int) -> datetime:
        return datetime.fromtimestamp(self.seconds.item(row), UTC)

    def quote(self, row: int, rules: Rules) -> Quote:
        """The open of a row, as old as the close that the decision was made on."""
        age = self.seconds.item(row) - self.seconds.item(row - 1) - self.length
        return Quote(rules.instrument.price(self.open.item(row)), max(age, 0))

    def first_row_of_day(self, row: int) -> int:
        midnight = self.seconds.item(row) // 86400 * 86400
        return int(np.searchsorted(self.seconds, midnight))


def _next(wanted: npt.NDArray[np.bool_]) -> Rows:
    rows = np.arange(wanted.size + 1, dtype=np.int64)
    rows[:-1][~wanted] = wanted.size
    return np.minimum.accumulate(rows[::-1])[::-1]
