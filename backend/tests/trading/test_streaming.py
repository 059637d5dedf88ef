"""From the stream to the Market Monitor: every candle of the exchange is published in order and once, under faults."""

from collections.abc import Callable, Iterator
from datetime import datetime
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest
from django.db import connection

from market.models import Candle, SourceState
from market.services import store_candles
from market.sources.bybit_stream import StreamTimeouts
from tests.market.servers import faults
from tests.market.servers.series import frame_of
from tests.trading.exchange import MINUTE, Exchange
from tests.trading.markets import ToldPredictor, market, running_account
from trading.books.accounts import follow_named
from trading.live.feeds import LIVE, Feeds
from trading.live.markets import LiveMarkets, publication_lock
from trading.models import AgentState, AgentType, Message
from trading.runtime import pipeline, streaming
from trading.runtime.pipeline import Pipeline
from trading.runtime.streaming import Relay
from trading.selectors.markets import Market

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick_passwords")]

QUICK = StreamTimeouts(connect=2.0, answer=2.0, ping=0.5, silence=2.0, quiet=60.0, first_pause=0.02, longest_pause=0.1)
LONGEST_WAIT = 15.0


class ManualRelay:
    """A relay that is cycled by hand, and the exchange that it follows."""

    def __init__(self, exchange: Exchange, patience: StreamTimeouts = QUICK) -> None:
        self.exchange = exchange
        self.said: list[str] = []
        live = LiveMarkets(exchange.fetch(), self._no_quote, 0.02, exchange.now, workers=0)
        self.pipeline = Pipeline(Feeds(LIVE, live), ToldPredictor({}), live)
        self.relay = Relay(self.pipeline, exchange.stream.url.removesuffix("/v5/public/spot"), say=self.said.append)
        self.relay.patience = patience

    def _no_quote(self, symbol: object) -> None:
        raise AssertionError("no account trades here")

    def until(self, is_so: Callable[[], bool]) -> None:
        end = monotonic() + LONGEST_WAIT
        while not is_so():
            self.relay.cycle()
            assert monotonic() < end, self.said

    def until_followed(self) -> None:
        known = len([line for line in self.said if "followed" in line])
        self.until(lambda: len([line for line in self.said if "followed" in line]) > known)

    def until_published(self, symbol: str = "BTCUSDT") -> None:
        """Until the newest closed candle is published."""
        self.until(lambda: published(symbol)[-1:] == self.exchange.opens(1))

    def idle(self, seconds: float = 0.6) -> None:
        end = monotonic() + seconds
        while monotonic() < end:
            self.relay.cycle()


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(["BTCUSDT", "ETHUSDT"]) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def short_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "WATCH_SECONDS", 0.1)


@pytest.fixture
def manual(exchange: Exchange) -> Iterator[ManualRelay]:
    running_account(interval="1m")
    manual = ManualRelay(exchange)
    yield manual
    manual.relay.stop.set()


def published(symbol: str = "BTCUSDT") -> list[datetime]:
    """The open times of the published candles, in their order."""
    messages = Message.objects.filter(type=Message.Type.MARKET_SNAPSHOT, symbol__symbol=symbol).order_by("pk")
    return [
        datetime.fromisoformat(payload["timestamp"]) - MINUTE for payload in messages.values_list("payload", flat=True)
    ]


def assert_all_stored(exchange: Exchange, symbol: str = "BTCUSDT") -> None:
    stored = Candle.objects.filter(symbol__symbol=symbol, interval="1m").order_by("open_time")
    names = ("open", "high", "low", "close", "volume")
    truth = exchange.truth[symbol].bars[: exchange.closed]
    assert list(stored.values_list(*names)) == [tuple(float(getattr(bar, name)) for name in names) for bar in truth]
    assert list(stored.values_list("open_time", flat=True)) == exchange.opens()
    assert set(stored.values_list("source", flat=True)) == {"bybit"}


def asked(exchange: Exchange) -> int:
    return len([request for request in exchange.rest.asked if request.path.endswith("kline")])


def test_each_candle_is_published_as_it_closes_without_a_poll(exchange: Exchange, manual: ManualRelay) -> None:
    manual.until_followed()
    manual.until_published()
    before = asked(exchange)
    for _ in range(5):
        exchange.pass_minutes()
        manual.until_published()
    assert published() == exchange.opens(6)
    assert asked(exchange) == before
    assert_all_stored(exchange)
    snapshot = Message.objects.filter(type=Message.Type.MARKET_SNAPSHOT).latest("pk").payload
    assert (snapshot["source"], snapshot["data_age_seconds"]) == ("bybit", 3.0)


def test_candles_missed_while_the_connection_was_down_are_published_before_later_ones(
    exchange: Exchange, manual: ManualRelay
) -> None:
    manual.until_followed()
    manual.until_published()
    exchange.stream.refusing = True
    exchange.stream.drop()
    manual.until(lambda: any("next try" in line for line in manual.said))
    exchange.rest.faults.add(faults.SERVER_ERROR)
    exchange.pass_minutes(3, told=False)
    manual.idle()
    assert published() == [exchange.opens(4)[0]]
    exchange.stream.refusing = False
    exchange.rest.faults.clear()
    manual.until_followed()
    exchange.pass_minutes()
    manual.until_published()
    assert published() == exchange.opens(5)
    assert_all_stored(exchange)


def test_markets_are_polled_while_the_stream_is_down(exchange: Exchange, manual: ManualRelay) -> None:
    exchange.stream.refusing = True
    manual.until_published()
    for _ in range(3):
        exchange.pass_minutes(told=False)
        manual.until_published()
    assert published() == exchange.opens(4)
    assert_all_stored(exchange)
    state = SourceState.objects.get(name="bybit stream")
    assert state.failures > 0
    assert "503" in state.last_error


def test_markets_are_polled_while_the_stream_is_silent(exchange: Exchange, manual: ManualRelay) -> None:
    manual.until_followed()
    exchange.pass_minutes(2, told=False)
    manual.until_published()
    assert_all_stored(exchange)
    assert exchange.stream.connections == 1


def test_a_candle_that_the_stream_left_out_is_fetched_before_the_next_is_published(
    exchange: Exchange, manual: ManualRelay
) -> None:
    manual.until_followed()
    manual.until_published()
    exchange.pass_minutes(told=False)
    exchange.pass_minutes()
    manual.until_published()
    assert published() == exchange.opens(3)
    assert_all_stored(exchange)


def test_nothing_is_published_over_a_gap_that_no_source_has_answered_for(
    exchange: Exchange, manual: ManualRelay
) -> None:
    manual.until_followed()
    manual.until_published()
    exchange.rest.faults.add(faults.SERVER_ERROR)
    exchange.pass_minutes(told=False)
    exchange.pass_minutes(3)
    manual.until(lambda: any("503" in line for line in manual.said))
    manual.idle()
    assert published() == [exchange.opens(5)[0]]
    monitor = AgentState.objects.get(agent_type=AgentType.MARKET_MONITOR)
    assert monitor.status == AgentState.Status.ERROR
    assert "503" in monitor.error_message
    exchange.rest.faults.clear()
    manual.until_published()
    assert published() == exchange.opens(5)
    assert_all_stored(exchange)
    monitor.refresh_from_db()
    assert (monitor.status, monitor.error_message) == (AgentState.Status.RUNNING, "")


def test_a_gap_that_the_source_confirms_is_skipped_and_filled_later(exchange: Exchange, manual: ManualRelay) -> None:
    manual.until_followed()
    manual.until_published()
    exchange.leave_out(times=1)
    exchange.pass_minutes(5, told=False)
    manual.until_published()
    skipped = set(exchange.opens(6)) - set(published())
    assert {("BTCUSDT", time) for time in skipped} == exchange.left_out
    assert not Candle.objects.filter(open_time__in=skipped).exists()
    exchange.pass_minutes(2, told=False)
    manual.until(lambda: Candle.objects.filter(open_time__in=skipped).exists())
    manual.until_published()
    assert published() == [time for time in exchange.opens(8) if time not in skipped]
    assert_all_stored(exchange)


def test_a_candle_of_the_stream_that_an_answer_left_out_is_published_in_its_place(
    exchange: Exchange, manual: ManualRelay
) -> None:
    manual.until_followed()
    manual.until_published()
    exchange.rest.faults.add(faults.SERVER_ERROR)
    exchange.pass_minutes(told=False)
    exchange.pass_minutes()
    manual.until(lambda: [*manual.relay._waiting[market("BTCUSDT", "1m")]] == exchange.opens(1))
    exchange.pass_minutes(2, told=False)
    exchange.rest.faults.clear()
    exchange.leave_out(times=1)
    manual.until_published()
    assert exchange.left_out == {("BTCUSDT", exchange.opens(3)[0])}
    assert published() == exchange.opens(5)
    assert_all_stored(exchange)


def test_duplicate_late_and_early_candles_change_nothing(exchange: Exchange, manual: ManualRelay) -> None:
    manual.until_followed()
    manual.until_published()
    exchange.pass_minutes(2)
    manual.until_published()
    for row in (exchange.closed - 1, exchange.closed - 2, 0, exchange.closed - 1):
        exchange.tell(row)
    exchange.pass_minutes()
    manual.until_published()
    manual.idle()
    assert published() == exchange.opens(4)
    assert_all_stored(exchange)


def test_a_candle_that_is_still_forming_is_not_stored(exchange: Exchange, manual: ManualRelay) -> None:
    manual.until_followed()
    manual.until_published()
    truth = frame_of(exchange.truth["BTCUSDT"].bars)
    forming = exchange.closed
    exchange.stream.form_candle("BTCUSDT", truth.index[forming], truth.iloc[forming] * 1.001)
    manual.idle()
    assert published() == exchange.opens(1)
    exchange.pass_minutes()
    manual.until_published()
    assert_all_stored(exchange)


def test_a_candle_stored_before_a_crash_and_not_published_is_published(exchange: Exchange, manual: ManualRelay) -> None:
    manual.until_followed()
    manual.until_published()
    exchange.pass_minutes(told=False)
    bars = exchange.truth["BTCUSDT"].bars
    store_candles(market("BTCUSDT", "1m").symbol, "1m", frame_of(bars[: exchange.closed]), "bybit")
    manual.until_published()
    assert published() == exchange.opens(2)


def test_a_candle_that_a_poll_stores_meanwhile_is_not_skipped(
    exchange: Exchange, manual: ManualRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual.until_followed()
    manual.until_published()
    known = market("BTCUSDT", "1m")
    exchange.rest.faults.add(faults.SERVER_ERROR)
    exchange.pass_minutes(told=False)
    exchange.pass_minutes()
    manual.until(lambda: bool(manual.relay._waiting[known]))
    between = frame_of(exchange.truth["BTCUSDT"].bars[exchange.closed - 2 : exchange.closed - 1])
    publish = manual.pipeline.publish_stored

    def publish_and_be_overtaken(it: Market, *arguments: Any) -> bool:
        result = publish(it, *arguments)
        store_candles(it.symbol, "1m", between, "bybit")
        return result

    with monkeypatch.context() as overtaken:
        overtaken.setattr(manual.pipeline, "publish_stored", publish_and_be_overtaken)
        manual.relay._advance(known)
    manual.until_published()
    assert published() == exchange.opens(3)


def test_a_gap_filled_just_before_the_next_candle_is_published_first(
    exchange: Exchange, manual: ManualRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual.until_followed()
    manual.until_published()
    known, bars = market("BTCUSDT", "1m"), exchange.truth["BTCUSDT"].bars
    exchange.pass_minutes(2, told=False)
    first, second = (frame_of(bars[row : row + 1]) for row in (exchange.closed - 2, exchange.closed - 1))
    store_candles(known.symbol, "1m", second, "bybit")
    has = pipeline.has_unpublished

    def has_and_is_overtaken(it: Market) -> bool:
        result = has(it)
        store_candles(it.symbol, "1m", first, "bybit")
        return result

    monkeypatch.setattr(pipeline, "has_unpublished", has_and_is_overtaken)
    manual.relay._advance(known)
    assert published() == exchange.opens(3)


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer anyway")
def test_two_publishers_wait_for_each_other(exchange: Exchange, manual: ManualRelay) -> None:
    manual.until_followed()
    manual.until_published()
    exchange.pass_minutes(2, told=False)
    known, bars = market("BTCUSDT", "1m"), exchange.truth["BTCUSDT"].bars
    store_candles(known.symbol, "1m", frame_of(bars[: exchange.closed]), "bybit")

    def publish_too() -> None:
        ManualRelay(exchange).pipeline.publish_stored(known)
        connection.close()

    other = Thread(target=publish_too, daemon=True)
    with publication_lock(known):
        other.start()
        other.join(0.3)
        assert other.is_alive()
        manual.pipeline.publish_stored(known)
    other.join(LONGEST_WAIT)
    assert published() == exchange.opens(3)


def test_two_relays_publish_everything_once(exchange: Exchange, manual: ManualRelay) -> None:
    other = ManualRelay(exchange)
    manual.until_followed()
    other.until_followed()
    for _ in range(4):
        exchange.pass_minutes()
        manual.until_published()
        other.idle(0.1)
    other.relay.stop.set()
    assert published() == exchange.opens(len(published()))
    assert_all_stored(exchange)


def test_a_symbol_that_is_followed_later_joins_the_stream(exchange: Exchange, manual: ManualRelay) -> None:
    manual.until_followed()
    follow_named(running_account("bob@example.com", interval="1m", symbols="ETHUSDT"), "ETHUSDT")
    manual.until_followed()
    exchange.pass_minutes()
    manual.until_published("ETHUSDT")
    assert exchange.stream.connections == 1
    assert_all_stored(exchange, "ETHUSDT")


def test_a_symbol_that_the_stream_does_not_know_is_polled(exchange: Exchange) -> None:
    running_account(interval="1m", symbols="BTCUSDT ETHUSDT")
    exchange.stream.known = frozenset({"ETHUSDT"})
    manual = ManualRelay(exchange)
    manual.until_followed()
    for _ in range(2):
        exchange.pass_minutes()
        manual.until_published("BTCUSDT")
        manual.until_published("ETHUSDT")
    manual.relay.stop.set()
    assert any("BTCUSDT 1m is polled" in line for line in manual.said)
    assert_all_stored(exchange, "BTCUSDT")


def test_the_failure_of_one_market_does_not_stop_the_others(exchange: Exchange) -> None:
    running_account(interval="1m", symbols="BTCUSDT NOPEUSDT")
    manual = ManualRelay(exchange)
    manual.until_followed()
    exchange.pass_minutes()
    manual.until_published()
    manual.until(lambda: any("NOPEUSDT" in line and "bybit" in line for line in manual.said))
    exchange.pass_minutes()
    manual.until_published()
    manual.relay.stop.set()
    assert published("NOPEUSDT") == []
    assert_all_stored(exchange)


def test_it_runs_until_it_is_stopped(exchange: Exchange, manual: ManualRelay) -> None:
    def stop_when_published(symbol: str = "BTCUSDT") -> None:
        if published(symbol):
            manual.relay.stop.set()

    manual.relay.markets = lambda: stop_when_published() or [Market(market("BTCUSDT", "1m").symbol, "1m")]
    begun = monotonic()
    manual.relay.run()
    assert monotonic() - begun < LONGEST_WAIT
    sleep(0.3)
    assert not any(thread.is_alive() for thread in manual.relay._threads)
