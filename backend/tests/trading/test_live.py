"""Live markets through all three agents: polled, decided on, filled at a fresh quote or refused for their age."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import time_machine

from engine.snapshot import Snapshot
from learning.serving import Answer
from market.ingestion.history import OVERLAP
from market.models import Candle, Symbol
from market.services import add_symbol, store_candles
from market.sources.base import Price
from tests.api import api_client
from tests.market.servers import faults
from tests.market.servers.series import frame_of
from tests.markets import random_candles
from tests.trading.exchange import MINUTE, SETTLED, START, Exchange
from tests.trading.markets import running_account
from trading.books.accounts import pause_agents, start_agents
from trading.live.feeds import AUTO, FILES, LIVE, Feeds, PlayedMarket, keep_up
from trading.live.markets import REVIEW, LiveFeed, LiveMarkets, is_overdue, newest_open, next_close, published_until
from trading.live.refresh import request_refresh
from trading.models import AgentLog, AgentState, AgentType, Decision, Message, RefreshRequest, Trade
from trading.runtime import loop as runner_module
from trading.runtime import on_demand
from trading.runtime.loop import Runner
from trading.runtime.manual_orders import price_now
from trading.runtime.pipeline import Pipeline, make_pipeline
from trading.selectors.markets import Market

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick_passwords")]

MODEL = np.array([0.1, 0.1, 0.8])


class Buyer:
    """A model that always wants to buy."""

    def answer(self, snapshot: Snapshot, model_type: str) -> Answer:
        return Answer(MODEL, model_type, "told", {})


class RealTime(Exchange):
    """An exchange on the clock of this process, which the test moves."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(["BTCUSDT"])
        self.quotes_asked = 0
        self.quote_lag = timedelta(0)
        self.quote_error: Exception | None = None

    def now(self) -> datetime:
        return datetime.now(UTC)

    def quote(self, symbol: Symbol) -> Price:
        self.quotes_asked += 1
        if self.quote_error:
            raise self.quote_error
        return Price(self.now() - self.quote_lag, 200.0)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START + SETTLED, tick=False) as clock:
        yield clock


@pytest.fixture
def exchange(clock: time_machine.Traveller) -> Iterator[RealTime]:
    with RealTime() as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module.Trainer, "ready", lambda self, market: True)


def live_runner(exchange: RealTime) -> Runner:
    live = LiveMarkets(exchange.fetch(), exchange.quote, 0.0, workers=0)
    return Runner(0.0, Pipeline(Feeds(LIVE, live), Buyer(), live), say=lambda text: None)


def play(runner: Runner) -> None:
    runner.cycle()
    runner.cycle()
    runner.pipeline.drain()


def works_again(exchange: RealTime, clock: time_machine.Traveller, runner: Runner) -> None:
    """After the circuit breaker's pause."""
    exchange.rest.faults.clear()
    clock.shift(1)
    runner.pipeline.live._not_before.clear()
    play(runner)


def outcomes() -> list[tuple[str, str]]:
    return list(Decision.objects.order_by("pk").values_list("status", "reason_code"))


def test_a_decision_is_filled_at_a_quote_of_after_its_candle(exchange: RealTime, clock: time_machine.Traveller) -> None:
    running_account(interval="1m")
    play(live_runner(exchange))
    trade = Trade.objects.get()
    decision = Decision.objects.get()
    assert decision.close_time == START
    assert trade.order.requested_price == 200
    assert trade.timestamp == START + SETTLED
    assert Message.objects.get(type="MARKET_SNAPSHOT").payload["data_age_seconds"] == 3.0
    assert Message.objects.get(type="TRADE_DECISION").payload["data_age_seconds"] == 3.0
    assert Candle.objects.count() == exchange.past


def test_each_closed_candle_is_decided_on_once(exchange: RealTime, clock: time_machine.Traveller) -> None:
    running_account(interval="1m")
    runner = live_runner(exchange)
    for _ in range(4):
        play(runner)
        clock.shift(60)
    closes = list(Decision.objects.order_by("pk").values_list("close_time", flat=True))
    assert closes == [START + number * MINUTE for number in range(4)]
    assert exchange.quotes_asked == 4


def test_one_fetch_serves_all_users(exchange: RealTime) -> None:
    for number in range(5):
        running_account(f"user{number}@example.com", interval="1m")
    play(live_runner(exchange))
    # The candles and the page before them, then the month before in two requests, where there are none.
    assert len([request for request in exchange.rest.asked if request.path.endswith("kline")]) == 4
    assert exchange.quotes_asked == 1
    assert Trade.objects.count() == 5


def test_a_decision_that_the_next_candle_has_overtaken_is_refused(
    exchange: RealTime, clock: time_machine.Traveller
) -> None:
    running_account(interval="1m")
    runner = live_runner(exchange)
    exchange.quote_error = ConnectionError("no quotes")
    play(runner)
    assert outcomes() == [("pending", "")]
    exchange.quote_error = None
    clock.shift(65)
    runner.pipeline.drain()
    assert outcomes() == [("rejected", "stale_quote")]
    assert "68 s old; at most 60 s" in AgentLog.objects.get(agent_type=AgentType.EXECUTION).message


def test_a_limit_of_the_account_comes_before_that_of_the_market(
    exchange: RealTime, clock: time_machine.Traveller
) -> None:
    running_account(interval="1m", max_quote_age_seconds=2)
    running_account("bob@example.com", interval="1m", max_quote_age_seconds=5)
    play(live_runner(exchange))
    assert sorted(outcomes()) == [("executed", "signal"), ("rejected", "stale_quote")]


def test_the_age_of_the_quote_itself_counts(exchange: RealTime, clock: time_machine.Traveller) -> None:
    clock.shift(20)
    exchange.quote_lag = timedelta(seconds=15)
    running_account(interval="1m", max_quote_age_seconds=20)
    play(live_runner(exchange))
    assert outcomes() == [("rejected", "stale_quote")]


def test_a_quote_of_before_the_close_is_no_price_for_the_decision(
    exchange: RealTime, clock: time_machine.Traveller
) -> None:
    exchange.quote_lag = timedelta(seconds=10)
    running_account(interval="1m")
    runner = live_runner(exchange)
    play(runner)
    assert outcomes() == [("pending", "")]
    exchange.quote_lag = timedelta(0)
    clock.shift(5)
    runner.pipeline.drain()
    assert outcomes() == [("executed", "signal")]


def test_missed_candles_are_published_in_order_and_stale_ones_are_not_traded(
    exchange: RealTime, clock: time_machine.Traveller
) -> None:
    account = running_account(interval="1m")
    runner = live_runner(exchange)
    pause_agents(account)
    play(runner)
    assert (outcomes(), Message.objects.count()) == ([], 1)
    start_agents(account)
    exchange.rest.faults.add(faults.SERVER_ERROR)
    for _ in range(3):
        clock.shift(60)
        play(runner)
    works_again(exchange, clock, runner)
    closes = list(Decision.objects.order_by("pk").values_list("close_time", "status"))
    assert [time for time, _ in closes] == [START + number * MINUTE for number in range(1, 4)]
    assert outcomes() == [("rejected", "stale_quote"), ("rejected", "stale_quote"), ("executed", "signal")]


def test_a_failing_source_is_shown_until_it_works_again(exchange: RealTime, clock: time_machine.Traveller) -> None:
    account = running_account(interval="1m")
    runner = live_runner(exchange)
    exchange.rest.faults.add(faults.SERVER_ERROR)
    play(runner)
    monitor = AgentState.objects.get(user=account.user, agent_type=AgentType.MARKET_MONITOR)
    assert monitor.status == "ERROR"
    assert "503" in monitor.error_message
    lines = AgentLog.objects.filter(agent_type=AgentType.MARKET_MONITOR)
    assert lines.count() == 1
    works_again(exchange, clock, runner)
    monitor.refresh_from_db()
    assert (monitor.status, monitor.error_message) == ("RUNNING", "")


def test_a_refresh_request_is_done_when_the_market_was_polled(
    exchange: RealTime, clock: time_machine.Traveller
) -> None:
    account = running_account(interval="1m")
    request_refresh(account, [Symbol.objects.get(symbol="BTCUSDT")])
    clock.shift(1)
    play(live_runner(exchange))
    assert RefreshRequest.objects.get().looked_at is not None


def test_a_manual_order_is_placed_at_a_current_quote(exchange: RealTime, clock: time_machine.Traveller) -> None:
    account = running_account(interval="1m")
    runner = live_runner(exchange)
    runner.cycle()
    on_demand.use(runner.pipeline)
    try:
        clock.shift(30)
        moment = price_now(account, Symbol.objects.get(symbol="BTCUSDT"))
    finally:
        on_demand._given.clear()
    assert (moment.price.time, moment.known_until) == (START + SETTLED + timedelta(seconds=30),) * 2


def test_a_requested_cycle_polls_decides_and_trades(exchange: RealTime) -> None:
    account = running_account(interval="1m")
    pipeline = live_runner(exchange).pipeline
    pipeline.predictor.warm = lambda version: None
    cycle = on_demand.run_cycle(account, Symbol.objects.get(symbol="BTCUSDT"), pipeline)
    assert cycle.report is not None
    assert cycle.report.payload["status"] == "executed"


def test_the_states_of_the_sources_and_the_ages_of_the_markets_are_shown(exchange: RealTime) -> None:
    account = running_account(interval="1m")
    live = LiveMarkets(exchange.fetch(), exchange.quote, 0.0, workers=0)
    from market.sources.health import record

    record("bybit", None, None)
    play(Runner(0.0, Pipeline(Feeds(LIVE, live), Buyer(), live), say=lambda text: None))
    client = api_client(account.user)
    status = client.get("/api/trading/agents/status/").json()
    assert [source["name"] for source in status[0]["metadata"]["sources"]] == ["bybit"]
    state = client.get("/api/trading/agents/detail/").json()[0]["currentState"]
    assert state["sources"][0]["state"] == "working"
    market = {"symbol": "BTCUSDT", "source": "bybit", "isLive": True, "ageSeconds": 3.0, "isLate": False}
    assert state["markets"] == [market]


# --- which source a market has ---------------------------------------------------------------------------------------


def test_the_mode_decides_between_a_file_and_a_live_market(exchange: RealTime) -> None:
    live = LiveMarkets(exchange.fetch(), exchange.quote, 1.0, workers=0)
    assert Feeds(AUTO, live)("GOOG", "1d").name == "replay"
    assert isinstance(Feeds(AUTO, live)("BTCUSDT", "1m"), LiveFeed)
    assert isinstance(Feeds(LIVE, live)("GOOG", "1d"), LiveFeed)
    with pytest.raises(Exception, match="BTCUSDT"):
        Feeds(FILES, live)("BTCUSDT", "1m")


def test_the_setting_says_the_mode_where_no_option_does(settings) -> None:
    settings.MARKET_SOURCES = FILES
    assert make_pipeline().sources.mode == FILES
    assert make_pipeline(LIVE).sources.mode == LIVE


def test_candles_of_the_past_and_of_now_are_not_mixed() -> None:
    running_account(interval="1h")
    symbol = Symbol.objects.get(symbol="BTCUSDT")
    store_candles(symbol, "1h", random_candles(60), "replay")
    with pytest.raises(PlayedMarket, match="another database"):
        keep_up(symbol, "1h", START)


# --- when a market is polled -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "overdue"), [(0, False), (59, False), (61, False), (63, True), (3600, True)])
def test_a_candle_is_overdue_a_moment_after_it_should_have_closed(
    exchange: RealTime, seconds: int, overdue: bool
) -> None:
    running_account(interval="1m")
    symbol = Symbol.objects.get(symbol="BTCUSDT")
    store_candles(symbol, "1m", frame_of(exchange.truth["BTCUSDT"].bars[: exchange.past]), "bybit")
    assert is_overdue(Market(symbol, "1m"), START + timedelta(seconds=seconds)) is overdue


def test_a_market_is_not_polled_before_the_next_candle_can_have_closed(
    exchange: RealTime, clock: time_machine.Traveller, django_assert_num_queries
) -> None:
    running_account(interval="1m")
    market = Market(Symbol.objects.get(symbol="BTCUSDT"), "1m")
    live = LiveMarkets(exchange.fetch(), exchange.quote, 0.0, workers=0)
    live.poll([market])
    assert [error for _, error in live.results()] == [None]
    live.poll([market])
    with django_assert_num_queries(0):
        live.poll([market])
    clock.shift(60)
    live.poll([market])
    assert Candle.objects.count() == exchange.past + 1


class Streamed:
    """A market whose candles come by a stream, one a minute, and the requests that were sent for it."""

    def __init__(self, clock: time_machine.Traveller) -> None:
        self.clock, self.closed, self.market = clock, 0, Market(add_symbol("BTCUSDT"), "1m")
        self.candles = random_candles(100)
        self.candles.index = pd.date_range(START, periods=100, freq="min", name="open_time")
        self.fetched: list[datetime] = []
        self.reviewed: list[int] = []
        fetch = lambda symbol, interval, now: self.fetched.append(now)  # noqa: E731
        review = lambda symbol, interval, now, candles: self.reviewed.append(candles)  # noqa: E731
        self.live = LiveMarkets(fetch, lambda symbol: None, 0.0, workers=0, review=review)

    def minutes(self, count: int) -> None:
        for _ in range(count):
            store_candles(self.market.symbol, "1m", self.candles[self.closed : self.closed + 1], "bybit")
            self.closed += 1
            self.clock.move_to(START + self.closed * MINUTE + SETTLED)
            self.live.poll([self.market])


def test_candles_of_a_stream_are_reviewed_periodically(clock: time_machine.Traveller) -> None:
    streamed = Streamed(clock)
    streamed.minutes(15)
    assert streamed.reviewed == []
    streamed.minutes(1)
    assert streamed.reviewed == [15 + OVERLAP]
    streamed.minutes(15)
    assert streamed.reviewed == [15 + OVERLAP] * 2
    assert streamed.fetched == []


def test_a_polled_market_is_not_reviewed(clock: time_machine.Traveller) -> None:
    streamed = Streamed(clock)
    for _ in range(3):
        streamed.minutes(10)
        streamed.live.request(streamed.market)
    assert streamed.reviewed == []


def test_a_market_without_new_candles_is_not_reviewed(clock: time_machine.Traveller) -> None:
    streamed = Streamed(clock)
    streamed.minutes(1)
    streamed.live._polled[streamed.market] = streamed.live.now() - REVIEW, newest_open(streamed.market)
    streamed.live._current_until.clear()
    streamed.live.poll([streamed.market])
    assert streamed.reviewed == []


def test_a_decision_of_a_friday_is_good_on_monday() -> None:
    friday = datetime(2024, 3, 1, 21, tzinfo=UTC)
    assert next_close("AAPL", "1h", friday) == datetime(2024, 3, 4, 15, 30, tzinfo=UTC)
    assert next_close("BTCUSDT", "1h", friday) == datetime(2024, 3, 1, 22, tzinfo=UTC)


def test_the_newest_candle_is_published_first(exchange: RealTime) -> None:
    running_account(interval="1m")
    market = Market(Symbol.objects.get(symbol="BTCUSDT"), "1m")
    assert published_until(market) is None
    play(live_runner(exchange))
    assert published_until(market) == START - MINUTE
    assert Message.objects.filter(type="MARKET_SNAPSHOT").count() == 1
    assert pd.Timestamp(published_until(market)) == frame_of(exchange.truth["BTCUSDT"].bars[:100]).index[-1]
