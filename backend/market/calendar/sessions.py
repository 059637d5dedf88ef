"""When a market trades, and therefore which candles are expected: a night or a holiday is no gap.

Crypto trades always. Forex trades from Sunday to Friday, 17:00 in New York (22:00 UTC in winter, 21:00 in summer), but
not on 25 December and 1 January. Stocks trade in the regular hours of their exchange, with its holidays and short days.

A stock's candle of a day is stamped 00:00 UTC of its date, or with local midnight; of a week, with its Monday. Candles
within the day begin at the opening of the exchange (9:30, 10:30, ...), or on the clock (9:00, 10:00, ...) where the
stored series does. All times here are arrays of datetime64[us] in UTC without a zone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.candles import interval_length
from market.calendar.exchanges import TradingHours, exchange_hours, forex_hours
from market.symbols import Kind, kind_of

Times = npt.NDArray[np.datetime64]

MICROSECOND, DAY, WEEK = np.timedelta64(1, "us"), np.timedelta64(1, "D"), np.timedelta64(7, "D")
# The unix epoch was a Thursday; weeks begin on Monday.
FIRST_MONDAY = np.datetime64("1970-01-05", "us")
EPOCH = np.datetime64(0, "us")

LONGEST_CLOSURE = timedelta(days=14)
"""Longer than any exchange has been closed since 1960 (New York for seven days in September 2001)."""

# The endings with which Yahoo names exchanges outside the United States, of those without a lunch break.
EXCHANGES = {"L": "XLON", "DE": "XETR", "PA": "XPAR", "AS": "XAMS", "MI": "XMIL", "SW": "XSWX", "TO": "XTSE"}
UNITED_STATES = "XNYS"


def session_of(symbol: str, kind: str | None = None) -> "Session":
    """The trading hours of an instrument; its kind is derived from its name unless it is given. Raises SymbolError."""
    kind = kind_of(symbol) if kind is None else Kind(kind)
    if kind is Kind.CRYPTO:
        return ALWAYS
    if kind is Kind.FOREX:
        return _of_hours("forex")
    return _of_hours(EXCHANGES.get(symbol.rpartition(".")[2], UNITED_STATES))


def moment(time: datetime | pd.Timestamp) -> np.datetime64:
    """An aware time as the arrays of this module hold it."""
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone")
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


def aware(time: np.datetime64) -> datetime:
    """The inverse of `moment`: a datetime in UTC."""
    known: datetime = time.astype("datetime64[us]").item()
    return known.replace(tzinfo=UTC)


def times_of(index: pd.Index) -> Times:
    """The open times of a candle frame's index as the arrays of this module hold them."""
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise ValueError("times without a time zone")
    return index.asi8.view(f"datetime64[{index.unit}]").astype("datetime64[us]")


class Session:
    """The trading hours of a market; this one is always open."""

    def open_times(self, interval: str, start: np.datetime64, end: np.datetime64, like: Times | None = None) -> Times:
        """The candles with start <= open time < end; `like` is a part of the series, which shows how it is stamped."""
        return _grid(interval, start, end)

    def close_times(self, interval: str, opens: Times) -> Times:
        """When the candles that open at these times are closed."""
        return opens + np.timedelta64(interval_length(interval))

    def named(self, interval: str, opens: Times) -> Times:
        """The open times in the form that `open_times` returns."""
        return opens

    def missing(
        self, interval: str, opens: Times, start: np.datetime64, end: np.datetime64, like: Times | None = None
    ) -> Times:
        """The candles with start <= open time < end that are not among `opens`."""
        expected = self.open_times(interval, start, end, opens if like is None else like)
        return expected[~np.isin(expected, self.named(interval, opens))]

    def buckets(
        self, into: str, interval: str, first: np.datetime64, last: np.datetime64
    ) -> tuple[Times, Times, Times]:
        """Open times, begins and ends of the candles that contain those of a lower interval from first to last."""
        labels = self.open_times(into, first - np.timedelta64(interval_length(into)), last + 1)
        return labels, labels, labels + np.timedelta64(interval_length(into))

    def newest_closed(self, interval: str, now: datetime, like: Times | None = None) -> np.datetime64 | None:
        """The open time of the candle that closed last; None where nothing ever closed."""
        length, end = interval_length(interval), moment(now)
        opens = self.open_times(interval, end - np.timedelta64(LONGEST_CLOSURE + 2 * length), end, like)
        closed = opens[self.close_times(interval, opens) <= end]
        return closed[-1] if len(closed) else None


@dataclass(frozen=True)
class ScheduledSession(Session):
    """A market with one span of trading for each of its days."""

    hours: TradingHours

    def open_times(self, interval: str, start: np.datetime64, end: np.datetime64, like: Times | None = None) -> Times:
        length = np.timedelta64(interval_length(interval)).astype("timedelta64[us]")
        if length >= DAY:
            named = np.unique(_weeks(self._dates)) if length >= WEEK else self._dates
        else:
            named = self._within_days(length, start, end, self.hours.on_the_clock or _on_the_clock(like, length))
        return named[np.searchsorted(named, start) : np.searchsorted(named, end)]

    def buckets(
        self, into: str, interval: str, first: np.datetime64, last: np.datetime64
    ) -> tuple[Times, Times, Times]:
        length = np.timedelta64(interval_length(into)).astype("timedelta64[us]")
        # Two days more: a day of forex begins on the evening before its date.
        labels = self.open_times(into, first - length - DAY, last + 2 * DAY)
        if length < DAY:
            return labels, labels, self.close_times(into, labels)
        if interval_length(interval) >= timedelta(days=1):
            return labels, labels, labels + length
        begin = np.searchsorted(self._dates, labels)
        end = np.searchsorted(self._dates, labels + length) - 1
        return labels, self.hours.opens[begin], self.hours.closes[end]

    def close_times(self, interval: str, opens: Times) -> Times:
        length = np.timedelta64(interval_length(interval)).astype("timedelta64[us]")
        if length >= DAY:
            return self._closes_of_days(self.named(interval, opens), length)
        usual, row = opens + length, np.searchsorted(self.hours.closes, opens, side="right")
        inside = row < len(self.hours.opens)
        row = np.minimum(row, len(self.hours.opens) - 1)
        inside &= self.hours.opens[row] < usual
        return np.where(inside, np.minimum(usual, self.hours.closes[row]), usual)

    def named(self, interval: str, opens: Times) -> Times:
        length = np.timedelta64(interval_length(interval))
        if length < DAY or not len(opens):
            return opens
        dates = self.hours.dates_of(opens)
        return _weeks(dates) if length >= WEEK else dates

    @cached_property
    def _dates(self) -> Times:
        return self.hours.dates.astype("datetime64[us]")

    def _within_days(self, length: np.timedelta64, start: np.datetime64, end: np.datetime64, clock: bool) -> Times:
        # A day earlier: a candle on the clock may open before the span that it belongs to.
        first = np.searchsorted(self.hours.closes, start - DAY)
        last = np.searchsorted(self.hours.opens, end + DAY)
        opens, closes = self.hours.opens[first:last], self.hours.closes[first:last]
        if clock:
            opens = opens - (opens - EPOCH) % length
        counts = -((opens - closes) // length)  # rounded up: the last candle of a day may be short
        total = int(counts.sum())
        steps = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        times = np.repeat(opens, counts) + steps * length
        # On the clock, a candle that two days share occurs in both.
        return np.unique(times) if clock else times

    def _closes_of_days(self, dates: Times, length: np.timedelta64) -> Times:
        """The end of the last day of trading within each candle, or of the candle where there is none."""
        if self.hours.on_the_clock:  # A day of candles ends at midnight, hours after the day of trading.
            return dates + length
        row = np.searchsorted(self._dates, dates + length) - 1
        found = (row >= 0) & (self._dates[np.maximum(row, 0)] >= dates)
        return np.where(found, self.hours.closes[np.maximum(row, 0)], dates + length)


ALWAYS = Session()


@lru_cache(maxsize=16)
def _of_hours(name: str) -> ScheduledSession:
    return ScheduledSession(forex_hours() if name == "forex" else exchange_hours(name))


def _grid(interval: str, start: np.datetime64, end: np.datetime64) -> Times:
    length = np.timedelta64(interval_length(interval)).astype("timedelta64[us]")
    origin = FIRST_MONDAY if length >= WEEK else EPOCH
    first = origin - ((origin - start) // length) * length
    return np.arange(first, max(first, end), length)


def _weeks(dates: Times) -> Times:
    return dates - (dates - FIRST_MONDAY) % WEEK.astype("timedelta64[us]")


def _on_the_clock(like: Times | None, length: np.timedelta64) -> bool:
    """Whether most of a series opens at whole multiples of its interval."""
    return like is not None and len(like) > 0 and bool(np.median((like - EPOCH) % length == 0) == 1)
