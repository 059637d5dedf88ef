from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.calendar.sessions import ALWAYS, moment, session_of, times_of
from market.errors import SymbolError
from tests.markets import real_candles


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def expected_times(symbol: str, interval: str, start: datetime, end: datetime) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(session_of(symbol).open_times(interval, moment(start), moment(end)), tz="UTC")


def is_open(symbol: str, time: datetime) -> bool:
    return len(expected_times(symbol, "1m", time, time + timedelta(minutes=1))) == 1


def texts(times: pd.DatetimeIndex) -> list[str]:
    return [f"{time:%m-%d %H:%M}" for time in times]


@pytest.mark.parametrize(
    ("symbol", "time", "expected"),
    [
        ("BTCUSDT", "2024-12-25T03:00", True),
        ("EURUSD", "2024-01-12T21:59", True),  # Friday, winter
        ("EURUSD", "2024-01-12T22:00", False),
        ("EURUSD", "2024-01-14T21:59", False),
        ("EURUSD", "2024-01-14T22:00", True),
        ("EURUSD", "2024-07-12T20:59", True),  # Friday, summer
        ("EURUSD", "2024-07-12T21:00", False),
        ("EURUSD", "2024-12-25T12:00", False),
        ("AAPL", "2024-01-12T14:29", False),
        ("AAPL", "2024-01-12T14:30", True),
        ("AAPL", "2024-01-12T20:59", True),
        ("AAPL", "2024-01-12T21:00", False),
        ("AAPL", "2024-07-12T13:30", True),  # daylight saving
        ("AAPL", "2024-07-04T15:00", False),  # a holiday
        ("AAPL", "2024-11-29T17:59", True),  # a short day
        ("AAPL", "2024-11-29T18:00", False),
        ("SHEL.L", "2024-01-12T08:00", True),
        ("SHEL.L", "2024-01-12T16:30", False),
        ("BRK.B", "2024-01-12T15:00", True),
    ],
)
def test_a_market_is_open_in_its_hours(symbol: str, time: str, expected: bool):
    assert is_open(symbol, utc(time)) is expected


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        moment(datetime(2024, 1, 1))  # noqa: DTZ001
    with pytest.raises(SymbolError):
        session_of("../x")


def test_the_hours_of_a_stock_begin_at_the_bell():
    found = expected_times("AAPL", "1h", utc("2024-03-08"), utc("2024-03-12"))  # Summer time began on the 10th.
    assert texts(found)[:8] == [*(f"03-08 {hour}:30" for hour in range(14, 21)), "03-11 13:30"]
    assert len(found) == 14


def test_days_and_weeks_of_a_stock():
    assert texts(expected_times("AAPL", "1d", utc("2024-07-01"), utc("2024-07-09"))) == [
        f"07-0{day} 00:00" for day in (1, 2, 3, 5, 8)
    ]
    assert texts(expected_times("AAPL", "1w", utc("2024-07-01"), utc("2024-07-15"))) == ["07-01 00:00", "07-08 00:00"]


def test_crypto_never_sleeps_and_its_weeks_begin_on_monday():
    assert len(expected_times("BTCUSDT", "5m", utc("2024-01-01"), utc("2024-01-02"))) == 288
    assert texts(expected_times("BTCUSDT", "1w", utc("2024-01-02"), utc("2024-01-20"))) == [
        "01-08 00:00",
        "01-15 00:00",
    ]
    assert texts(expected_times("BTCUSDT", "4h", utc("2024-01-01T00:01"), utc("2024-01-01T08:01"))) == [
        "01-01 04:00",
        "01-01 08:00",
    ]


@pytest.mark.parametrize(
    ("name", "missing", "unexpected"),
    [
        ("BTCUSDT_1h", 12, 0),
        ("EURUSD_1h", 0, 9),  # a few hours of Christmas
        ("GBPUSD_5m", 0, 0),
        ("SPY_1h", 2, 47),  # on 2002-09-11 New York opened late; some short days have a candle after the bell
        ("SPY_1m", 0, 4),  # the closing auctions
        ("SPY_1d", 0, 0),
        ("GOOG_1d", 0, 0),
        ("AAPL_1d", 0, 0),
    ],
)
def test_real_series_hold_what_is_expected(real_data: Path, name: str, missing: int, unexpected: int):
    symbol, interval = name.split("_")
    session, times = session_of(symbol), times_of(real_candles(real_data, name).index)
    assert len(session.missing(interval, times, times[0], times[-1])) == missing
    expected = session.open_times(interval, times[0], times[-1] + np.timedelta64(1, "us"), like=times)
    assert (~np.isin(session.named(interval, times), expected)).sum() == unexpected


@pytest.mark.parametrize(
    ("symbol", "interval", "opened", "closes"),
    [
        ("BTCUSDT", "1h", "2024-01-12T14:00", "2024-01-12T15:00"),
        ("AAPL", "1h", "2024-01-12T20:30", "2024-01-12T21:00"),
        ("AAPL", "1h", "2024-01-12T20:00", "2024-01-12T21:00"),
        ("AAPL", "1h", "2024-01-12T22:00", "2024-01-12T23:00"),  # after hours
        ("AAPL", "1d", "2024-01-12T00:00", "2024-01-12T21:00"),
        ("AAPL", "1d", "2024-01-12T05:00", "2024-01-12T21:00"),  # stamped with midnight in New York
        ("AAPL", "1d", "2024-11-29T00:00", "2024-11-29T18:00"),
        ("AAPL", "1w", "2024-01-08T00:00", "2024-01-12T21:00"),
        ("EURUSD", "1d", "2024-01-12T00:00", "2024-01-13T00:00"),
    ],
)
def test_a_candle_closes_with_its_market(symbol: str, interval: str, opened: str, closes: str):
    opens = np.array([moment(utc(opened))])
    assert session_of(symbol).close_times(interval, opens)[0] == moment(utc(closes))


@pytest.mark.parametrize(
    ("symbol", "interval", "now", "newest"),
    [
        ("BTCUSDT", "1h", "2024-01-12T14:59:59", "2024-01-12T13:00"),
        ("BTCUSDT", "1h", "2024-01-12T15:00", "2024-01-12T14:00"),
        ("AAPL", "1d", "2024-01-15T16:00", "2024-01-12T00:00"),  # Martin Luther King Day
        ("AAPL", "1h", "2024-01-15T16:00", "2024-01-12T20:30"),
        ("EURUSD", "1h", "2024-01-14T12:00", "2024-01-12T21:00"),
        ("AAPL", "1w", "2024-01-12T21:00", "2024-01-08T00:00"),
    ],
)
def test_the_newest_candle_that_can_have_closed(symbol: str, interval: str, now: str, newest: str):
    assert session_of(symbol).newest_closed(interval, utc(now)) == moment(utc(newest))


STARTS = st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=60, deadline=None)
@given(STARTS, st.integers(0, 20), st.sampled_from(["BTCUSDT", "EURUSD", "AAPL"]), st.sampled_from(["30m", "1h", "1d"]))
def test_what_is_expected_of_two_spans_is_that_of_both(start: datetime, days: int, symbol: str, interval: str):
    middle, end = start + timedelta(days=days), start + timedelta(days=2 * days + 1)
    whole = expected_times(symbol, interval, start, end)
    halves = expected_times(symbol, interval, start, middle).append(expected_times(symbol, interval, middle, end))
    assert whole.equals(halves)
    assert whole.is_monotonic_increasing
    assert whole.is_unique
    if interval != "1d":
        assert all(is_open(symbol, time.to_pydatetime()) for time in whole[:5])


def test_before_the_calendar_begins_nothing_is_expected():
    assert len(expected_times("AAPL", "1d", utc("1950-01-01"), utc("1951-01-01"))) == 0
    assert len(ALWAYS.open_times("1d", moment(utc("1950-01-01")), moment(utc("1951-01-01")))) == 365
