"""What every source promises, asked of each real client against its server."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from types import ModuleType

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candles import INTERVALS, CandleError, find_gaps
from market.errors import InvalidResponse, NotServed, UnknownInstrument
from market.sources import binance, bybit
from market.sources.base import Prices
from market.sources.book import BookSource
from market.sources.rows import empty_frame
from tests.market.servers import faults
from tests.market.servers.series import frame_of, milliseconds
from tests.market.venues import KINDS, NOW, Kind, Venue, hours, opened

HISTORY = 10_000


def test_a_long_history_comes_whole_and_without_the_forming_candle(venue: Venue):
    truth = venue.trades(HISTORY + 1)
    candles = venue.source.candles(venue.symbol, "1h", truth.start, NOW + hours(1))
    pd.testing.assert_frame_equal(candles, truth.closed(truth.start, NOW, NOW))
    assert len(candles) == HISTORY
    assert find_gaps(candles.index, "1h") == []
    assert candles.index[-1] == pd.Timestamp("2024-03-01 11:00", tz="UTC")
    # 1,000 at a time; Yahoo by 180 days, and once more for each of cookie and crumb.
    assert len(venue.server.asked) >= 3


@pytest.mark.parametrize("leaves_out_the_oldest", [True, False])
def test_bybit_is_never_asked_for_more_than_it_answers(leaves_out_the_oldest: bool):
    with opened(KINDS[0]) as venue:
        truth = venue.trades(HISTORY + 1)
        venue.server.leaves_out_the_oldest = leaves_out_the_oldest
        long_before = truth.start - timedelta(days=2_000)
        candles = venue.source.candles(venue.symbol, "1h", long_before, NOW)
        pd.testing.assert_frame_equal(candles, truth.closed(truth.start, NOW, NOW))
        # Eleven pages, and one request for all the time before the listing.
        assert len(venue.server.asked) <= 13


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2001])
def test_page_borders_lose_nothing_and_repeat_nothing(venue: Venue, count: int):
    truth = venue.trades(2_500)
    start = NOW - hours(2_400) - timedelta(minutes=30, seconds=20)
    end = start + hours(count)
    candles = venue.source.candles(venue.symbol, "1h", start, end)
    assert len(candles) == count
    pd.testing.assert_frame_equal(candles, truth.closed(start, end, NOW))


def test_a_start_between_two_candles_means_the_next_one(venue: Venue):
    truth = venue.trades(100)
    start = NOW - hours(10)
    candles = venue.source.candles(venue.symbol, "1h", start, NOW)
    assert candles.index[0] == pd.Timestamp("2024-03-01 03:00", tz="UTC")
    pd.testing.assert_frame_equal(candles, truth.closed(start, NOW, NOW))


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "1h", "1d"])
def test_every_interval_is_asked_for_in_the_words_of_the_source(venue: Venue, interval: str):
    truth = venue.trades(30, interval)
    candles = venue.source.candles(venue.symbol, interval, truth.start, NOW)
    pd.testing.assert_frame_equal(candles, truth.closed(truth.start, NOW, NOW))
    assert len(candles) == 29


def test_a_candle_counts_a_second_after_it_has_closed_and_not_before(venue: Venue):
    truth = venue.trades(10)
    noon = datetime(2024, 3, 1, 12, tzinfo=NOW.tzinfo)
    for seconds, newest in ((0.0, 10), (0.9, 10), (2.0, 11)):
        venue.clock.now = noon + timedelta(seconds=seconds)
        candles = venue.source.candles(venue.symbol, "1h", truth.start, NOW)
        assert candles.index[-1].hour == newest


def test_a_time_without_candles_gives_an_empty_frame(venue: Venue):
    truth = venue.trades(10)
    candles = venue.source.candles(venue.symbol, "1h", truth.start - hours(50), truth.start)
    assert candles.empty
    assert list(candles.columns) == ["open", "high", "low", "close", "volume"]
    assert str(candles.index.tz) == "UTC"
    assert venue.source.candles(venue.symbol, "1h", NOW, NOW).empty


def test_an_outage_of_the_exchange_stays_a_gap(venue: Venue):
    truth = venue.trades(3_000)
    missing = slice(700, 1_900)
    del truth.bars[missing]
    candles = venue.source.candles(venue.symbol, "1h", truth.start, NOW)
    pd.testing.assert_frame_equal(candles, truth.closed(truth.start, NOW, NOW))
    assert [gap.missing for gap in find_gaps(candles.index, "1h")] == [1_200]


def test_an_instrument_that_it_does_not_have_is_named(venue: Venue):
    venue.trades(10)
    unknown = venue.symbol.replace("BTC", "XYZ")
    with pytest.raises(UnknownInstrument, match=f"{venue.source.name}: it has no .*XYZ") as caught:
        venue.source.candles(unknown, "1h", NOW - hours(5), NOW)
    assert not caught.value.retry_helps
    for ask in (venue.source.quote, venue.source.terms):
        with pytest.raises(UnknownInstrument, match="it has no"):
            ask(unknown)


def test_an_interval_that_it_does_not_serve_is_refused_without_asking(venue: Venue):
    for interval in set(INTERVALS) - venue.source.intervals:
        with pytest.raises(NotServed, match=f"serves no {interval} candles"):
            venue.source.candles(venue.symbol, interval, NOW - hours(5), NOW)
    with pytest.raises(CandleError, match="unknown interval '7m'"):
        venue.source.candles(venue.symbol, "7m", NOW - hours(5), NOW)
    assert venue.server.asked == []


def test_a_time_without_zone_is_refused(venue: Venue):
    with pytest.raises(ValueError, match="time zone"):
        venue.source.candles(venue.symbol, "1h", datetime(2024, 3, 1), NOW)  # noqa: DTZ001


def test_the_last_price_comes_with_its_time(venue: Venue):
    truth = venue.trades(10)
    price = venue.source.quote(venue.symbol)
    assert price.price == pytest.approx(float(truth.last_price(venue.server.now)), abs=0.005)
    assert abs(price.time - NOW) <= timedelta(seconds=1)


TERMS = {
    "bybit": (Decimal("0.01"), Decimal("0.000001"), Decimal(1)),
    "bybit:linear": (Decimal("0.10"), Decimal("0.001"), Decimal(5)),
    "binance": (Decimal("0.01"), Decimal("0.00001"), Decimal(5)),
    "yahoo": (None, None, None),
    "ccxt:bitstamp": (Decimal("0.01"), Decimal("0.00000001"), Decimal(10)),
}


def test_the_terms_are_those_that_the_venue_states(venue: Venue):
    venue.trades(10)
    terms = venue.source.terms(venue.symbol)
    assert (terms.price_tick, terms.lot_step, terms.minimum_notional) == TERMS[venue.source.name]
    assert "BTC" in terms.name


def test_it_says_what_its_prices_are(venue: Venue):
    assert venue.source.prices is (Prices.SPLIT_ADJUSTED if venue.source.name == "yahoo" else Prices.AS_TRADED)


def test_the_order_book_adds_up(venue: Venue):
    if not isinstance(venue.source, BookSource):
        pytest.skip(f"{venue.source.name} serves no order book")
    price = Decimal(venue.trades(10).last_price(venue.server.now))
    depth = venue.source.depth(venue.symbol, 5)
    cent = Decimal("0.01")
    assert (depth.best_bid, depth.best_ask, depth.levels) == (price - cent, price + cent, 5)
    assert depth.bid_quantity == depth.ask_quantity == Decimal("3.75")
    assert abs(depth.time - NOW) <= timedelta(seconds=1)
    venue.server.faults.add(faults.body("crossed", lambda text: text.replace(str(price - cent).encode(), b"9999.00")))
    with pytest.raises(InvalidResponse, match="its order book is crossed"):
        venue.source.depth(venue.symbol, 5)
    venue.server.faults.clear()
    venue.server.faults.add(
        faults.body("no bids", lambda text: re.sub(rb'"b(ids)?": \[\[.*?\]\]', rb'"b\1": []', text))
    )
    with pytest.raises(InvalidResponse, match="has an empty side"):
        venue.source.depth(venue.symbol, 5)


@pytest.mark.parametrize(("kind", "module"), [(KINDS[0], bybit), (KINDS[2], binance)], ids=["bybit", "binance"])
def test_any_history_with_any_holes_is_paged_as_it_is(kind: Kind, module: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PAGE", 5)
    with opened(kind) as venue:
        bars = list(venue.trades(60).bars)
        truth = venue.server.any_series(kind.named_there)
        times = st.integers(-200, 65 * 60)

        @settings(max_examples=40, deadline=None, database=None)
        @given(st.sets(st.integers(0, 59), max_size=50), times, times)
        def check(missing: set[int], start_minute: int, end_minute: int) -> None:
            truth.bars[:] = [bar for row, bar in enumerate(bars) if row not in missing]
            start, end = (truth.start + timedelta(minutes=minute) for minute in (start_minute, end_minute))
            candles = venue.source.candles(venue.symbol, "1h", start, end)
            wanted = [bar for bar in truth.bars if milliseconds(start) <= bar.time < milliseconds(end)]
            closed = [bar for bar in wanted if bar.time + truth.length <= venue.server.now]
            expected = frame_of(closed) if closed else empty_frame()
            pd.testing.assert_frame_equal(candles, expected)

        check()
