"""Candles of a higher interval, built from stored ones of a lower one, where no venue serves them.

Only complete candles are built: one that lacks a part would have a wrong high, low or volume without showing it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.candles import COLUMNS, INTERVALS, interval_length
from market.calendar.sessions import ALWAYS, Session, Times, session_of, times_of
from market.errors import NotServed
from market.models import Symbol
from market.selectors import candle_frame
from market.sources.base import FetchedCandles, Price, Prices, VenueTerms

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

MOST_PLACES = 8
# Beyond this a double no longer holds every whole number, and rounding would falsify.
LARGEST_WHOLE = 2.0**52
# A day of forex begins on the evening before its date, and the night between lies in no candle.
BEFORE = timedelta(days=2)


class AggregationError(ValueError):
    """An interval that cannot be built from the other."""


def lower_interval(higher: str, available: Iterable[str]) -> str | None:
    """The longest of the available intervals that `higher` is a multiple of; None when there is none."""
    length = interval_length(higher)
    parts = [name for name in available if interval_length(name) < length and not length % interval_length(name)]
    return max(parts, key=lambda name: INTERVALS[name], default=None)


def aggregate(frame: pd.DataFrame, interval: str, into: str, session: Session = ALWAYS) -> pd.DataFrame:
    """The complete candles of `into` in a validated frame of `interval`. Raises AggregationError, CandleError."""
    if lower_interval(into, [interval]) is None:
        raise AggregationError(f"{into} candles cannot be built from {interval} candles")
    if frame.empty:
        return frame
    times = session.named(interval, times_of(frame.index))
    labels, begins, ends = session.buckets(into, interval, times[0], times[-1])
    if not len(labels):
        return frame.iloc[:0]
    expected = session.open_times(interval, begins[0], ends[-1], like=times)
    bucket = _bucket_of(expected, begins, ends)
    # Unexpected candles, as after an early close, do not count for missing ones.
    rows = np.where(np.isin(times, expected), _bucket_of(times, begins, ends), -1)
    have = np.bincount(rows[rows >= 0], minlength=len(labels))
    want = np.bincount(bucket[bucket >= 0], minlength=len(labels))
    whole = (have == want) & (have > 0)
    chosen = (rows >= 0) & whole[rows]
    index = pd.DatetimeIndex(labels[whole], tz="UTC", name="open_time")
    values = _merged(frame.to_numpy()[chosen], rows[chosen])
    return pd.DataFrame(values, index=index, columns=list(COLUMNS))


def _bucket_of(times: Times, begins: Times, ends: Times) -> Rows:
    """The index of the bucket that contains each time, or -1."""
    rows = np.searchsorted(begins, times, side="right") - 1
    return np.where((rows >= 0) & (times < ends[np.maximum(rows, 0)]), rows, -1)


def _merged(values: Array, rows: Rows) -> Array:
    if not len(rows):
        return np.empty((0, len(COLUMNS)))
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    last = np.append(starts[1:], len(rows)) - 1
    return np.column_stack([
        values[starts, 0],
        np.maximum.reduceat(values[:, 1], starts),
        np.minimum.reduceat(values[:, 2], starts),
        values[last, 3],
        _sums(values[:, 4], starts),
    ])  # fmt: skip


def _sums(volume: Array, starts: Rows) -> Array:
    """Sums of volumes, rounded to the decimal places of the volumes: 0.1 + 0.2 is 0.3, as the venue adds it up."""
    sums = np.add.reduceat(volume, starts)
    for places in range(MOST_PLACES + 1):
        if (np.round(volume, places) == volume).all():
            return np.where(sums * 10**places < LARGEST_WHOLE, np.round(sums, places), sums)
    return sums


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
        """Complete candles only: one that lacks a part is built when the part has arrived."""
        lower = candle_frame(self._symbol, self._lower, start - interval_length(interval) - BEFORE, end)
        session = session_of(self._symbol.symbol, self._symbol.kind)
        built = aggregate(lower, self._lower, interval, session)
        return built[(built.index >= start) & (built.index < end)]

    def fetch(self, symbol: str, interval: str, start: datetime, end: datetime) -> FetchedCandles:
        return FetchedCandles(self.candles(symbol, interval, start, end), self)

    def quote(self, symbol: str) -> Price:
        raise NotServed(self.name, "built candles have no current price")

    def terms(self, symbol: str) -> VenueTerms:
        raise NotServed(self.name, "built candles state no steps of price or quantity")
