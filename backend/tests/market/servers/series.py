"""The truth that the servers serve: every candle of a market, and its last one while it forms."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from operator import attrgetter

import numpy as np
import pandas as pd

from engine.candles import interval_length, validate

MILLISECOND = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Bar:
    """A candle as exchanges write it: its open time in milliseconds, and numbers as texts."""

    time: int
    open: str
    high: str
    low: str
    close: str
    volume: str

    def halfway(self) -> "Bar":
        """The forming candle, which must not be taken for the closed one."""
        low, high = sorted((float(self.open), (float(self.open) + float(self.high)) / 2))
        return replace(self, high=f"{high:.2f}", low=f"{low:.2f}", close=f"{high:.2f}", volume="0.125")


@dataclass(frozen=True)
class Series:
    """`count` candles of a market from `start` on, a random walk in cents. What has not begun yet is not shown."""

    symbol: str
    interval: str
    start: datetime
    count: int
    seed: int = 0

    @property
    def length(self) -> int:
        return interval_length(self.interval) // MILLISECOND

    @cached_property
    def bars(self) -> list[Bar]:
        rng = np.random.default_rng(self.seed)
        closes = 20_000 + np.cumsum(rng.integers(-30, 31, self.count))
        assert closes.min() > 100
        opens = np.concatenate([[20_000], closes[:-1]])
        highs = np.maximum(opens, closes) + rng.integers(2, 40, self.count)
        lows = np.minimum(opens, closes) - rng.integers(2, 40, self.count)
        volumes = rng.integers(1_000, 9_000_000, self.count)
        first = milliseconds(self.start)
        columns = zip(opens.tolist(), highs.tolist(), lows.tolist(), closes.tolist(), volumes.tolist(), strict=True)
        return [
            Bar(first + row * self.length, *(f"{price / 100:.2f}" for price in prices), f"{volume / 1000:.3f}")
            for row, (*prices, volume) in enumerate(columns)
        ]

    def shown(self, first: int, last: int, now: int) -> list[Bar]:
        """The candles with first <= open time <= last that had begun by `now`, oldest first."""
        begin = bisect_left(self.bars, first, key=attrgetter("time"))
        begun = self.bars[begin : bisect_right(self.bars, min(last, now), key=attrgetter("time"))]
        if begun and begun[-1].time + self.length > now:
            begun[-1] = begun[-1].halfway()
        return begun

    def closed(self, start: datetime, end: datetime, now: datetime) -> pd.DataFrame:
        """What a source should make of it."""
        wanted = [
            bar
            for bar in self.bars
            if milliseconds(start) <= bar.time < milliseconds(end) and bar.time + self.length <= milliseconds(now)
        ]
        return frame_of(wanted)

    def last_price(self, now: int) -> str:
        return self.shown(0, now, now)[-1].close


def book(price: str, levels: int) -> tuple[list[list[str]], list[list[str]]]:
    """An order book around a price: bids and asks, the best first, a cent apart, a quarter more at each level."""
    cents = round(float(price) * 100)
    bids, asks = (
        [[f"{(cents + side * away) / 100:.2f}", f"{away / 4:.3f}"] for away in range(1, levels + 1)] for side in (-1, 1)
    )
    return bids, asks


def frame_of(bars: list[Bar]) -> pd.DataFrame:
    index = pd.DatetimeIndex(
        np.array([bar.time for bar in bars], "datetime64[ms]").astype("datetime64[us]"), name="open_time"
    )
    columns = {name: [float(getattr(bar, name)) for bar in bars] for name in ("open", "high", "low", "close", "volume")}
    return validate(pd.DataFrame(columns, index=index.tz_localize("UTC")))


def milliseconds(time: datetime) -> int:
    return (time - EPOCH) // MILLISECOND


def moment(time: int) -> datetime:
    return EPOCH + time * MILLISECOND
