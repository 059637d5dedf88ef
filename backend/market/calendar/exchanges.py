"""The trading hours of exchanges and of the forex market, day by day."""

import warnings
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from threading import Lock

import numpy as np
import numpy.typing as npt
import pandas as pd
from django.core.cache import cache

Times = npt.NDArray[np.datetime64]

FIRST_DAY, LAST_DAY = date(1960, 1, 1), date(2040, 12, 31)
"""Outside these no candle is expected of a market with trading hours."""

NEW_YORK = "America/New_York"
FOREX_CLOSE = pd.Timedelta(hours=17)
SATURDAY = 5
KEPT_SECONDS = 30 * 24 * 60 * 60

_loading = Lock()


@dataclass(frozen=True)
class TradingHours:
    """One span of trading a day: its date, when it opens, when it closes. Times are UTC, without a zone."""

    zone: str
    dates: Times
    opens: Times
    closes: Times
    on_the_clock: bool = False
    """Whether candles within the day open at whole multiples of their interval, not relative to the opening."""

    def dates_of(self, opens: Times) -> Times:
        """The dates of candles of a day or a week: stamped 00:00 UTC of the date, or with a local time of that date."""
        plain = opens.astype("datetime64[D]").astype("datetime64[us]")
        local = pd.DatetimeIndex(opens, tz="UTC").tz_convert(self.zone).tz_localize(None).normalize()
        return np.where(opens == plain, plain, local.to_numpy().astype("datetime64[us]"))


def forex_hours() -> TradingHours:
    """A trading day of forex ends at 17:00 in New York. Checked against a year of EURUSD and a month of GBPUSD."""
    days = pd.date_range(FIRST_DAY, LAST_DAY, unit="us")
    holiday = ((days.month == 1) & (days.day == 1)) | ((days.month == 12) & (days.day == 25))
    days = days[(days.day_of_week < SATURDAY) & ~holiday]
    opens, closes = (_utc(day + FOREX_CLOSE, NEW_YORK) for day in (days - pd.Timedelta(days=1), days))
    return TradingHours(NEW_YORK, days.to_numpy(), opens, closes, on_the_clock=True)


def exchange_hours(name: str) -> TradingHours:
    """The regular sessions of an exchange, with its holidays and short days, by its ISO code ("XNYS").

    The calendar library takes seconds to import, so its result is cached.
    """
    key = f"market.calendar.exchanges:{name}:{version('exchange-calendars')}"
    kept = cache.get(key)
    if kept is None:
        kept = _from_library(name)
        cache.set(key, kept, KEPT_SECONDS)
    return kept


def _from_library(name: str) -> TradingHours:
    # The library uses what pandas deprecates, and warning filters apply to the whole process.
    with _loading, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import exchange_calendars

        calendar = exchange_calendars.get_calendar(name, start=str(FIRST_DAY), end=str(LAST_DAY))
        schedule = calendar.schedule
    if schedule["break_start"].notna().any():
        raise ValueError(f"{name} has a lunch break: a day there is two spans of trading")
    opens, closes = (_plain(pd.DatetimeIndex(schedule[name])) for name in ("open", "close"))
    return TradingHours(str(calendar.tz), _plain(schedule.index), opens, closes)


def _utc(local: pd.DatetimeIndex, zone: str) -> Times:
    return _plain(local.tz_localize(zone).tz_convert("UTC"))


def _plain(times: pd.DatetimeIndex) -> Times:
    return np.asarray(times.tz_localize(None), "datetime64[us]")
