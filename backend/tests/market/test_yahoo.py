"""What is peculiar to Yahoo: days of an exchange, raw closes, live prices, and how far back it goes."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import pandas as pd
import pytest

from market.errors import InvalidResponse, NotServed, RequestRefused
from market.sources.yahoo import YahooSource, yahoo_symbol
from tests.market.servers import faults
from tests.market.servers.series import Series
from tests.market.servers.yahoo import Listing, YahooServer
from tests.market.venues import KINDS, NOW, Venue, hours, opened

[KIND] = [kind for kind in KINDS if kind.name == "yahoo"]


@pytest.fixture
def yahoo() -> Iterator[Venue]:
    with opened(KIND) as venue:
        yield venue


def source_of(venue: Venue) -> YahooSource:
    assert isinstance(venue.source, YahooSource)
    return venue.source


def server_of(venue: Venue) -> YahooServer:
    assert isinstance(venue.server, YahooServer)
    return venue.server


def listed(venue: Venue, zone: str, opens: time, days: int = 200) -> Series:
    """Days of a stock, without its weekends."""
    start = datetime.combine(NOW.date() - timedelta(days=days - 1), time(0), UTC)
    series = Series("XYZ", "1d", start, days)
    series.bars[:] = [bar for bar in series.bars if datetime.fromtimestamp(bar.time / 1000, UTC).weekday() < 5]
    server_of(venue).listings["XYZ"] = Listing(zone, opens)
    return venue.server.add(series)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("GOOG", "GOOG"), ("^GSPC", "^GSPC"), ("VOD.L", "VOD.L"), ("EURUSD", "EURUSD=X"), ("EUR-USD", "EURUSD=X"),
        ("EURUSD=X", "EURUSD=X"), ("BTCUSD", "BTC-USD"), ("BTC-USD", "BTC-USD"), ("ETH-EUR", "ETH-EUR"),
    ],
)  # fmt: skip
def test_a_symbol_is_written_as_yahoo_writes_it(symbol: str, name: str):
    assert yahoo_symbol(symbol) == name


@pytest.mark.parametrize(
    ("zone", "opens"),
    [
        ("America/New_York", time(9, 30)), ("Europe/London", time(0)), ("Asia/Tokyo", time(9)),
        ("Australia/Sydney", time(10)), ("Pacific/Auckland", time(10)),
    ],
)  # fmt: skip
def test_a_day_is_named_by_its_date_wherever_it_begins(yahoo: Venue, zone: str, opens: time):
    truth = listed(yahoo, zone, opens)
    days = yahoo.source.candles("XYZ", "1d", truth.start, NOW)
    pd.testing.assert_frame_equal(days, truth.closed(truth.start, NOW, NOW))
    assert days.index[-1] == pd.Timestamp("2024-02-29", tz="UTC")
    assert (days.index.hour == 0).all()


def test_days_of_many_years_are_paged_without_a_double_at_the_border(yahoo: Venue):
    truth = listed(yahoo, "America/New_York", time(9, 30), days=9_000)
    days = yahoo.source.candles("XYZ", "1d", truth.start, NOW)
    pd.testing.assert_frame_equal(days, truth.closed(truth.start, NOW, NOW))
    assert yahoo.asked("chart/XYZ") == 3


def test_the_latest_price_at_the_end_is_no_candle(yahoo: Venue):
    truth = yahoo.trades(20)
    server_of(yahoo).appends_live_price = True
    hourly = yahoo.source.candles(yahoo.symbol, "1h", truth.start, NOW)
    pd.testing.assert_frame_equal(hourly, truth.closed(truth.start, NOW, NOW))
    # Long after the last candle, it looks like one that has closed.
    yahoo.clock.now = NOW.replace(minute=0, second=1)
    del truth.bars[-1:]
    yahoo.clock.now += hours(1)
    hourly = yahoo.source.candles(yahoo.symbol, "1h", truth.start, NOW)
    pd.testing.assert_frame_equal(hourly, truth.closed(truth.start, NOW, NOW))


def test_the_latest_price_of_a_day_is_no_second_day(yahoo: Venue):
    truth = listed(yahoo, "America/New_York", time(9, 30))
    yahoo.clock.now = NOW.replace(hour=22)
    server_of(yahoo).appends_live_price = True
    days = yahoo.source.candles("XYZ", "1d", truth.start, NOW + timedelta(days=1))
    pd.testing.assert_frame_equal(days, truth.closed(truth.start, NOW, NOW))


def test_prices_are_split_adjusted_and_closes_are_raw(yahoo: Venue):
    truth = listed(yahoo, "America/New_York", time(9, 30))
    source = source_of(yahoo)
    assert source.prices == "split_adjusted"
    # The closes, not the adjusted closes that come with them.
    pd.testing.assert_frame_equal(source.candles("XYZ", "1d", truth.start, NOW), truth.closed(truth.start, NOW, NOW))


@pytest.mark.parametrize(("interval", "days"), [("1m", 30), ("5m", 60), ("15m", 60), ("1h", 730)])
def test_what_it_does_not_keep_is_refused_and_the_earliest_is_known(yahoo: Venue, interval: str, days: int):
    yahoo.trades(50, interval)
    with pytest.raises(NotServed, match=f"it keeps {interval} candles for {days} days only"):
        yahoo.source.candles(yahoo.symbol, interval, NOW - timedelta(days=days, hours=1), NOW)
    assert yahoo.server.asked == []
    earliest = yahoo.source.earliest(interval, NOW)
    assert earliest is not None
    assert len(yahoo.source.candles(yahoo.symbol, interval, earliest, NOW)) == 49
    assert yahoo.source.earliest("1d", NOW) is None


def test_minutes_are_asked_for_a_week_at_a_time(yahoo: Venue):
    truth = yahoo.trades(20 * 24 * 60, "1m")
    minutes = yahoo.source.candles(yahoo.symbol, "1m", truth.start, NOW)
    pd.testing.assert_frame_equal(minutes, truth.closed(truth.start, NOW, NOW))
    assert yahoo.asked("chart") == 3


def test_an_interval_in_which_no_trade_happened_is_a_gap(yahoo: Venue):
    truth = yahoo.trades(20)
    nothing = faults.spoilt("nulls", lambda bars, row: type(bars[row])(bars[row].time, "NaN", "NaN", "NaN", "NaN", "0"))
    yahoo.server.faults.add(nothing, path="BTC-USD")
    candles = yahoo.source.candles(yahoo.symbol, "1h", truth.start, NOW)
    assert len(candles) == 18


def test_a_crumb_that_has_gone_stale_is_fetched_anew(yahoo: Venue):
    truth = yahoo.trades(20)
    yahoo.source.candles(yahoo.symbol, "1h", truth.start, NOW)
    server_of(yahoo).crumb = "another"
    candles = yahoo.source.candles(yahoo.symbol, "1h", truth.start, NOW)
    assert len(candles) == 19


def test_without_a_crumb_it_says_that_it_was_refused(yahoo: Venue):
    yahoo.trades(20)
    yahoo.server.faults.add(faults.status(404), path="getcrumb")
    with pytest.raises(RequestRefused, match=r"HTTP 401.*Invalid Crumb"):
        yahoo.source.candles(yahoo.symbol, "1h", NOW - hours(5), NOW)


def test_two_sources_do_not_share_a_session(yahoo: Venue):
    truth = yahoo.trades(20)
    with opened(KIND) as other:
        other.trades(10)
        assert len(other.source.candles(other.symbol, "1h", truth.start, NOW)) == 9
        assert len(yahoo.source.candles(yahoo.symbol, "1h", truth.start, NOW)) == 19


def test_candles_of_another_interval_are_refused(yahoo: Venue):
    yahoo.trades(20)
    yahoo.server.faults.add(
        faults.body("granularity", lambda text: text.replace(b'"dataGranularity": "1h"', b'"dataGranularity": "1d"')),
        path="BTC-USD",
    )
    with pytest.raises(InvalidResponse, match="asked for 1h candles, it sent 1d ones"):
        yahoo.source.candles(yahoo.symbol, "1h", NOW - hours(5), NOW)


def test_a_time_zone_that_does_not_exist_is_refused(yahoo: Venue):
    listed(yahoo, "UTC", time(0))
    yahoo.server.faults.add(
        faults.body(
            "zone", lambda text: text.replace(b'"exchangeTimezoneName": "UTC"', b'"exchangeTimezoneName": "Mars"')
        ),
        path="XYZ",
    )
    with pytest.raises(InvalidResponse, match="it names a time zone 'Mars'"):
        yahoo.source.candles("XYZ", "1d", NOW - timedelta(days=5), NOW)
