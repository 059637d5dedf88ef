"""From the stream to the Market Monitor: every candle of the exchange, in order and once, whatever goes wrong."""

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
from trading.agents import pipeline
from trading.agents.pipeline import Pipeline
from trading.books.accounts import follow_named
from trading.live import streaming
from trading.live.candles import LiveMarkets, telling
from trading.live.feeds import LIVE, Feeds
from trading.live.streaming import Relay
from trading.live.watched import Market
from trading.models import AgentState, AgentType, Message

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick_passwords")]

QUICK = StreamTimeouts(connect=2.0, answer=2.0, ping=0.5, silence=2.0, quiet=60.0, first_pause=0.02, longest_pause=0.1)
LONGEST_WAIT = 15.0


class Desk:
    """A relay that is turned by hand, and the exchange that it follows."""

    def __init__(self, exchange: Exchange, patience: StreamTimeouts = QUICK) -> None:
        self.exchange = exchange
        self.said: list[str] = []
        live = LiveMarkets(exchange.fetch(), self._no_quote, 0.02, exchange.now, members=0)
        self.pipeline = Pipeline(Feeds(LIVE, live), ToldPredictor({}), live)
        self.relay = Relay(self.pipeline, exchange.stream.url.removesuffix("/v5/public/spot"), say=self.said.append)
        self.relay.patience = patience

    def _no_quote(self, symbol: object) -> None:
        raise AssertionError("nobody trades here")

    def until(self, is_so: Callable[[], bool]) -> None:
        end = monotonic() + LONGEST_WAIT
        while not is_so():
            self.relay.turn()
            assert monotonic() < end, self.said

    def until_followed(self) -> None:
        known = len([line for line in self.said if "followed" in line])
        self.until(lambda: len([line for line in self.said if "followed" in line]) > known)

    def until_told(self, symbol: str = "BTCUSDT") -> None:
        """Of the newest closed candle."""
        self.until(lambda: told(symbol)[-1:] == self.exchange.opens(1))

    def idle(self, seconds: float = 0.6) -> None:
        end = monotonic() + seconds
        while monotonic() < end:
            self.relay.turn()


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(["BTCUSDT", "ETHUSDT"]) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "WATCH_SECONDS", 0.1)


@pytest.fixture
def desk(exchange: Exchange) -> Iterator[Desk]:
    running_account(interval="1m")
    desk = Desk(exchange)
    yield desk
    desk.relay.stop.set()


def told(symbol: str = "BTCUSDT") -> list[datetime]:
    """The open times of the candles that the agents were told about, in that order."""
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


def test_each_candle_is_told_as_it_closes_and_no_source_is_asked_for_it(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    desk.until_told()
    before = asked(exchange)
    for _ in range(5):
        exchange.pass_minutes()
        desk.until_told()
    assert told() == exchange.opens(6)
    assert asked(exchange) == before
    assert_all_stored(exchange)
    snapshot = Message.objects.filter(type=Message.Type.MARKET_SNAPSHOT).latest("pk").payload
    assert (snapshot["source"], snapshot["data_age_seconds"]) == ("bybit", 3.0)


def test_what_closed_while_the_connection_was_down_is_told_before_what_comes_after(
    exchange: Exchange, desk: Desk
) -> None:
    desk.until_followed()
    desk.until_told()
    exchange.stream.refusing = True
    exchange.stream.drop()
    desk.until(lambda: any("next try" in line for line in desk.said))
    exchange.rest.faults.add(faults.SERVER_ERROR)
    exchange.pass_minutes(3, told=False)
    desk.idle()
    assert told() == [exchange.opens(4)[0]]
    exchange.stream.refusing = False
    exchange.rest.faults.clear()
    desk.until_followed()
    exchange.pass_minutes()
    desk.until_told()
    assert told() == exchange.opens(5)
    assert_all_stored(exchange)


def test_markets_are_polled_while_the_stream_is_down(exchange: Exchange, desk: Desk) -> None:
    exchange.stream.refusing = True
    desk.until_told()
    for _ in range(3):
        exchange.pass_minutes(told=False)
        desk.until_told()
    assert told() == exchange.opens(4)
    assert_all_stored(exchange)
    state = SourceState.objects.get(name="bybit stream")
    assert state.failures > 0
    assert "503" in state.last_error


def test_markets_are_polled_while_the_stream_says_nothing(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    exchange.pass_minutes(2, told=False)
    desk.until_told()
    assert_all_stored(exchange)
    assert exchange.stream.connections == 1


def test_a_candle_that_the_stream_left_out_is_asked_for_before_the_next_is_told(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    desk.until_told()
    exchange.pass_minutes(told=False)
    exchange.pass_minutes()
    desk.until_told()
    assert told() == exchange.opens(3)
    assert_all_stored(exchange)


def test_nothing_is_told_over_a_hole_that_nobody_could_be_asked_about(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    desk.until_told()
    exchange.rest.faults.add(faults.SERVER_ERROR)
    exchange.pass_minutes(told=False)
    exchange.pass_minutes(3)
    desk.until(lambda: any("503" in line for line in desk.said))
    desk.idle()
    assert told() == [exchange.opens(5)[0]]
    monitor = AgentState.objects.get(agent_type=AgentType.MARKET_MONITOR)
    assert monitor.status == AgentState.Status.ERROR
    assert "503" in monitor.error_message
    exchange.rest.faults.clear()
    desk.until_told()
    assert told() == exchange.opens(5)
    assert_all_stored(exchange)
    monitor.refresh_from_db()
    assert (monitor.status, monitor.error_message) == (AgentState.Status.RUNNING, "")


def test_a_hole_that_the_source_confirms_is_told_over_and_filled_when_it_has_the_candle(
    exchange: Exchange, desk: Desk
) -> None:
    desk.until_followed()
    desk.until_told()
    exchange.leave_out(times=1)
    exchange.pass_minutes(5, told=False)
    desk.until_told()
    skipped = set(exchange.opens(6)) - set(told())
    assert {("BTCUSDT", time) for time in skipped} == exchange.left_out
    assert not Candle.objects.filter(open_time__in=skipped).exists()
    exchange.pass_minutes(2, told=False)
    desk.until(lambda: Candle.objects.filter(open_time__in=skipped).exists())
    desk.until_told()
    assert told() == [time for time in exchange.opens(8) if time not in skipped]
    assert_all_stored(exchange)


def test_what_the_stream_told_and_an_answer_left_out_is_told_in_its_place(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    desk.until_told()
    exchange.rest.faults.add(faults.SERVER_ERROR)
    exchange.pass_minutes(told=False)
    exchange.pass_minutes()
    desk.until(lambda: [*desk.relay._waiting[market("BTCUSDT", "1m")]] == exchange.opens(1))
    exchange.pass_minutes(2, told=False)
    exchange.rest.faults.clear()
    exchange.leave_out(times=1)
    desk.until_told()
    assert exchange.left_out == {("BTCUSDT", exchange.opens(3)[0])}
    assert told() == exchange.opens(5)
    assert_all_stored(exchange)


def test_what_comes_twice_late_or_too_early_changes_nothing(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    desk.until_told()
    exchange.pass_minutes(2)
    desk.until_told()
    for row in (exchange.closed - 1, exchange.closed - 2, 0, exchange.closed - 1):
        exchange.tell(row)
    exchange.pass_minutes()
    desk.until_told()
    desk.idle()
    assert told() == exchange.opens(4)
    assert_all_stored(exchange)


def test_a_candle_that_is_still_forming_is_not_stored(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    desk.until_told()
    truth = frame_of(exchange.truth["BTCUSDT"].bars)
    forming = exchange.closed
    exchange.stream.form_candle("BTCUSDT", truth.index[forming], truth.iloc[forming] * 1.001)
    desk.idle()
    assert told() == exchange.opens(1)
    exchange.pass_minutes()
    desk.until_told()
    assert_all_stored(exchange)


def test_a_candle_that_was_stored_before_a_crash_and_not_told_is_told(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    desk.until_told()
    exchange.pass_minutes(told=False)
    bars = exchange.truth["BTCUSDT"].bars
    store_candles(market("BTCUSDT", "1m").symbol, "1m", frame_of(bars[: exchange.closed]), "bybit")
    desk.until_told()
    assert told() == exchange.opens(2)


def test_what_a_poll_stores_in_the_same_moment_is_not_passed_over(
    exchange: Exchange, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.until_followed()
    desk.until_told()
    known = market("BTCUSDT", "1m")
    exchange.rest.faults.add(faults.SERVER_ERROR)
    exchange.pass_minutes(told=False)
    exchange.pass_minutes()
    desk.until(lambda: bool(desk.relay._waiting[known]))
    between = frame_of(exchange.truth["BTCUSDT"].bars[exchange.closed - 2 : exchange.closed - 1])
    tell = desk.pipeline.tell_next

    def tell_and_be_overtaken(it: Market, *arguments: Any) -> bool:
        said = tell(it, *arguments)
        store_candles(it.symbol, "1m", between, "bybit")
        return said

    with monkeypatch.context() as overtaken:
        overtaken.setattr(desk.pipeline, "tell_next", tell_and_be_overtaken)
        desk.relay._advance(known)
    desk.until_told()
    assert told() == exchange.opens(3)


def test_a_gap_that_is_filled_just_before_the_next_is_told_is_told_first(
    exchange: Exchange, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.until_followed()
    desk.until_told()
    known, bars = market("BTCUSDT", "1m"), exchange.truth["BTCUSDT"].bars
    exchange.pass_minutes(2, told=False)
    first, second = (frame_of(bars[row : row + 1]) for row in (exchange.closed - 2, exchange.closed - 1))
    store_candles(known.symbol, "1m", second, "bybit")
    owes = pipeline.owes_news

    def owes_and_is_overtaken(it: Market) -> bool:
        said = owes(it)
        store_candles(it.symbol, "1m", first, "bybit")
        return said

    monkeypatch.setattr(pipeline, "owes_news", owes_and_is_overtaken)
    desk.relay._advance(known)
    assert told() == exchange.opens(3)


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer anyway")
def test_two_tellers_wait_for_each_other(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    desk.until_told()
    exchange.pass_minutes(2, told=False)
    known, bars = market("BTCUSDT", "1m"), exchange.truth["BTCUSDT"].bars
    store_candles(known.symbol, "1m", frame_of(bars[: exchange.closed]), "bybit")

    def tell_too() -> None:
        Desk(exchange).pipeline.tell_next(known)
        connection.close()

    other = Thread(target=tell_too, daemon=True)
    with telling(known):
        other.start()
        other.join(0.3)
        assert other.is_alive()
        desk.pipeline.tell_next(known)
    other.join(LONGEST_WAIT)
    assert told() == exchange.opens(3)


def test_two_relays_tell_everything_once(exchange: Exchange, desk: Desk) -> None:
    other = Desk(exchange)
    desk.until_followed()
    other.until_followed()
    for _ in range(4):
        exchange.pass_minutes()
        desk.until_told()
        other.idle(0.1)
    other.relay.stop.set()
    assert told() == exchange.opens(len(told()))
    assert_all_stored(exchange)


def test_a_symbol_that_is_followed_later_joins_the_stream(exchange: Exchange, desk: Desk) -> None:
    desk.until_followed()
    follow_named(running_account("bob@example.com", interval="1m", symbols="ETHUSDT"), "ETHUSDT")
    desk.until_followed()
    exchange.pass_minutes()
    desk.until_told("ETHUSDT")
    assert exchange.stream.connections == 1
    assert_all_stored(exchange, "ETHUSDT")


def test_a_symbol_that_the_stream_does_not_know_is_polled(exchange: Exchange) -> None:
    running_account(interval="1m", symbols="BTCUSDT ETHUSDT")
    exchange.stream.known = frozenset({"ETHUSDT"})
    desk = Desk(exchange)
    desk.until_followed()
    for _ in range(2):
        exchange.pass_minutes()
        desk.until_told("BTCUSDT")
        desk.until_told("ETHUSDT")
    desk.relay.stop.set()
    assert any("BTCUSDT 1m is polled" in line for line in desk.said)
    assert_all_stored(exchange, "BTCUSDT")


def test_one_market_in_trouble_leaves_the_others_alone(exchange: Exchange) -> None:
    running_account(interval="1m", symbols="BTCUSDT NOPEUSDT")
    desk = Desk(exchange)
    desk.until_followed()
    exchange.pass_minutes()
    desk.until_told()
    desk.until(lambda: any("NOPEUSDT" in line and "bybit" in line for line in desk.said))
    desk.relay.stop.set()


def test_it_runs_until_it_is_stopped(exchange: Exchange, desk: Desk) -> None:
    def is_told(symbol: str = "BTCUSDT") -> None:
        if told(symbol):
            desk.relay.stop.set()

    desk.relay.markets = lambda: is_told() or [Market(market("BTCUSDT", "1m").symbol, "1m")]
    begun = monotonic()
    desk.relay.run()
    assert monotonic() - begun < LONGEST_WAIT
    sleep(0.3)
    assert not any(thread.is_alive() for thread in desk.relay._threads)
