"""VenueTerms, further intervals and the order book: what is stored when it is asked for."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from market.errors import InvalidResponse, NoSource, NotServed, SourceDown
from market.ingestion.backfill import fill_gaps
from market.ingestion.candles import ingest
from market.ingestion.extras import ingest_depth, ingest_extras, refresh_terms, store_more
from market.instruments import stored_instrument
from market.models import Candle, OrderBookDepth, Symbol
from market.selectors import candle_frame, newest_depth
from market.services import add_symbol
from market.sources.base import VenueTerms
from market.sources.binance import BinanceSource
from market.sources.book import BookSource, depth_of
from market.sources.bybit import BybitSource
from tests.market.known_source import KnownSource
from tests.market.servers.binance import BinanceServer
from tests.market.servers.bybit import BybitServer
from tests.market.servers.faults import Fault, Reply
from tests.market.servers.http import Request, as_json
from tests.market.servers.series import Series
from tests.markets import random_candles

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TRUTH = random_candles(60)
D = Decimal
BIDS, ASKS = [["62710.2", "5.52"], ["62710.1", "1"]], [["62710.3", "0.01"], ["62711", "2"]]


class OnlyHours(KnownSource):
    def fetch(self, symbol, interval, start, end):
        if interval != "1h":
            raise NoSource(f"{symbol} {interval}", [NotServed(self.name, f"it serves no {interval} candles")])
        return super().fetch(symbol, interval, start, end)


class BybitWithBook(BybitServer):
    def answer(self, request: Request, fault: Fault) -> Reply:
        if request.path != "/v5/market/orderbook":
            return super().answer(request, fault)
        limit = request.whole("limit", 1)
        if not 1 <= limit <= 200:
            return self._refused("params error: limit invalid")
        book = {"s": request.query["symbol"], "b": BIDS[:limit], "a": ASKS[:limit], "ts": self.now, "u": 1, "seq": 2}
        return self._ok(book)


class BinanceWithBook(BinanceServer):
    def answer(self, request: Request, fault: Fault) -> Reply:
        if request.path != "/api/v3/depth":
            return super().answer(request, fault)
        limit = request.whole("limit", 100)
        return as_json(200, {"lastUpdateId": 1, "bids": BIDS[:limit], "asks": ASKS[:limit]})


@pytest.fixture
def btc(db) -> Symbol:
    return add_symbol("BTCUSDT")


def test_an_interval_that_no_source_serves_is_built(btc: Symbol):
    source = OnlyHours(TRUTH)
    store_more(btc, ["4h", "1h"])
    ingest(btc, "1h", source.fetch, START + 11 * HOUR)
    assert ingest_extras(btc, "1h", source.fetch, START + 11 * HOUR) == []
    assert [time.hour for time in candle_frame(btc, "4h").index] == [0, 4]
    assert set(Candle.objects.filter(interval="4h").values_list("source", flat=True)) == {"built:1h"}


def test_a_built_interval_is_completed_when_its_part_has_come(btc: Symbol):
    store_more(btc, ["4h"])
    patchy = OnlyHours(TRUTH.drop(TRUTH.index[5]))
    ingest(btc, "1h", patchy.fetch, START + 13 * HOUR)
    ingest_extras(btc, "1h", patchy.fetch, START + 13 * HOUR)
    assert [time.hour for time in candle_frame(btc, "4h").index] == [0, 8]
    assert [gap.missing for gap in btc.gaps.filter(interval="4h")] == [1]
    btc_again = Symbol.objects.get(pk=btc.pk)
    fill_gaps(btc_again, "1h", OnlyHours(TRUTH).fetch, START + 14 * HOUR)
    assert ingest_extras(btc_again, "1h", OnlyHours(TRUTH).fetch, START + 14 * HOUR) == []
    assert [time.hour for time in candle_frame(btc, "4h").index] == [0, 4, 8]
    assert not btc.gaps.filter(interval="4h").exists()


def test_a_failing_extra_is_reported_and_stops_nothing(btc: Symbol):
    store_more(btc, ["15m", "4h"])
    source = OnlyHours(TRUTH)
    ingest(btc, "1h", source.fetch, START + 8 * HOUR)
    problems = ingest_extras(btc, "1h", source.fetch, START + 8 * HOUR)
    assert problems == ["no source for BTCUSDT 15m: bybit: it serves no 15m candles"]
    assert len(candle_frame(btc, "4h")) == 2


@pytest.mark.parametrize("intervals", [["7h"], "1h", [1]])
def test_what_is_no_interval_is_refused(btc: Symbol, intervals: Any):
    with pytest.raises(ValidationError):
        store_more(btc, intervals if isinstance(intervals, list) else [intervals + "x"])


@pytest.mark.parametrize("levels", [-1, 201])
def test_the_number_of_levels_is_bounded(btc: Symbol, levels: int):
    with pytest.raises(ValidationError):
        store_more(btc, depth_levels=levels)


@pytest.mark.parametrize("venue", ["bybit", "binance"])
def test_the_order_book_is_stored_when_it_is_asked_for(btc: Symbol, venue: str):
    server = (BybitWithBook if venue == "bybit" else BinanceWithBook)()
    with server:
        server.add(Series("BTCUSDT", "1h", datetime.now(UTC) - 10 * HOUR, 20))
        source = BybitSource(base_url=server.url) if venue == "bybit" else BinanceSource(server.url)
        assert isinstance(source, BookSource)
        assert ingest_depth(btc, [source], START) is None
        assert not server.asked
        store_more(btc, depth_levels=2)
        row = ingest_depth(btc, [source], START)
    assert row == OrderBookDepth.objects.get()
    found = (row.best_bid, row.best_ask, row.levels, row.bid_quantity, row.ask_quantity, row.source)
    assert found == (62710.2, 62710.3, 2, 6.52, 2.01, venue)
    assert newest_depth(btc, datetime.now(UTC) + HOUR) == row
    assert newest_depth(btc, row.time - HOUR) is None


def test_the_next_source_is_asked_for_the_book(btc: Symbol):
    class Book(KnownSource):
        def depth(self, symbol: str, levels: int):
            if self.down:
                raise SourceDown(self.name, "does not answer")
            return depth_of(self.name, START, [(D(1), D(2))], [(D("1.5"), D(3))], levels)

    store_more(btc, depth_levels=5)
    down, up = Book(TRUTH, "first"), Book(TRUTH, "second")
    down.down = True
    assert ingest_depth(btc, [KnownSource(TRUTH), down, up], START).source == "second"
    up.down = True
    with pytest.raises(NoSource, match="serves no order book; first: does not answer; second"):
        ingest_depth(btc, [KnownSource(TRUTH), down, up], START)


@pytest.mark.parametrize(
    ("bids", "asks", "problem"),
    [
        ([], [(D(2), D(1))], "empty side"),
        ([(D(2), D(1))], [(D(2), D(1))], "crossed"),
        ([(D(1), D(1)), (D("1.5"), D(1))], [(D(2), D(1))], "out of order"),
        ([(D(1), D(0))], [(D(2), D(1))], "not above zero"),
        ([(D("NaN"), D(1))], [(D(2), D(1))], "not above zero"),
    ],
)
def test_a_book_that_cannot_be_is_refused(bids: list[Any], asks: list[Any], problem: str):
    with pytest.raises(InvalidResponse, match=problem):
        depth_of("bybit", START, bids, asks, 5)


def test_the_terms_of_the_venue_are_stored_and_asked_for_once_a_day(btc: Symbol):
    source = KnownSource(TRUTH)
    source.known_terms = VenueTerms("BTC/USDT", D("0.1"), D("0.001"), D(7))
    asked: list[str] = []

    def ask(symbol: str):
        asked.append(symbol)
        return source.terms(symbol), source

    assert refresh_terms(btc, ask, START)
    assert not refresh_terms(btc, ask, START + HOUR)
    assert refresh_terms(btc, ask, START + 25 * HOUR)
    assert asked == ["BTCUSDT"] * 2
    instrument = stored_instrument(Symbol.objects.get(pk=btc.pk))
    assert (instrument.price_tick, instrument.lot_step, instrument.minimum_notional) == (D("0.1"), D("0.001"), D(7))


def test_what_the_venue_does_not_state_stays(btc: Symbol):
    Symbol.objects.filter(pk=btc.pk).update(price_tick=D("0.01"))
    btc.refresh_from_db()
    source = KnownSource(TRUTH)
    refresh_terms(btc, lambda symbol: (VenueTerms("Bitcoin"), source), START)
    btc.refresh_from_db()
    assert (btc.price_tick, btc.lot_step, btc.name) == (D("0.01"), None, "Bitcoin")


def test_a_step_finer_than_its_column_is_refused(btc: Symbol):
    with pytest.raises(NotServed, match="finer than can be stored"):
        refresh_terms(btc, lambda symbol: (VenueTerms("x", D("1E-12")), KnownSource(TRUTH)), START)
    btc.refresh_from_db()
    assert btc.price_tick is None


def test_the_command_switches_it_on_and_off(db, capsys):
    call_command("store_more", "--symbol=btcusdt", "--intervals=4h, 15m", "--depth=10")
    btc = Symbol.objects.get(symbol="BTCUSDT")
    assert (btc.extra_intervals, btc.depth_levels) == (["15m", "4h"], 10)
    call_command("store_more", "--symbol=BTCUSDT", "--intervals=", "--depth=0")
    btc.refresh_from_db()
    assert (btc.extra_intervals, btc.depth_levels) == ([], 0)
    assert capsys.readouterr().out.splitlines()[0] == "BTCUSDT: further intervals 15m, 4h; order book 10 levels."
    for wrong in (["--intervals=7h"], ["--depth=201"], ["--depth=-1"]):
        with pytest.raises(CommandError):
            call_command("store_more", "--symbol=BTCUSDT", *wrong)
