"""The loop without Celery: it continues where it stopped, and a failure stays with its market."""

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from django.db import OperationalError
from django.utils import timezone

from market.errors import CandleFileMissing, CircuitOpen, NoSource, SourceDown
from market.models import Symbol
from market.sources.replay import ReplaySource
from tests.markets import random_candles
from tests.trading.markets import ToldPredictor, running_account
from trading.agents import journal
from trading.books.audit import differences
from trading.models import Account, AgentLog, AgentState, AgentType, Message
from trading.runtime import loop as runner_module
from trading.runtime.loop import Runner
from trading.runtime.pipeline import Pipeline
from trading.runtime.stop import Stop

pytestmark = pytest.mark.django_db(transaction=True)

HISTORY = 60


class Files:
    """Replays by symbol; without a file for a symbol there is an error, as with a real one."""

    def __init__(self, **candles: pd.DataFrame) -> None:
        self.candles = candles

    def __call__(self, symbol: str, interval: str) -> ReplaySource:
        if symbol not in self.candles:
            raise CandleFileMissing(f"no candle file for {symbol}")
        return ReplaySource(self.candles[symbol])


@pytest.fixture(autouse=True)
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module.Trainer, "ready", lambda self, market: True)


def runner(files: Files) -> Runner:
    return Runner(0.0, Pipeline(sources=files, predictor=ToldPredictor({})), say=lambda text: SAID.append(text))


SAID: list[str] = []


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    SAID.clear()


def snapshots() -> list[tuple[str, str]]:
    told = Message.objects.filter(type=Message.Type.MARKET_SNAPSHOT).order_by("pk")
    return [(row.symbol.symbol, row.payload["timestamp"]) for row in told.select_related("symbol")]


def test_it_goes_on_where_another_one_stopped() -> None:
    running_account()
    files = Files(BTCUSDT=random_candles(2 * HISTORY))
    for _ in range(3):
        runner(files).cycle()
    closes = files.candles["BTCUSDT"].index[HISTORY : HISTORY + 3] + pd.Timedelta(hours=1)
    assert [time for _, time in snapshots()] == [f"{close:%Y-%m-%dT%H:%M:%SZ}" for close in closes]


def test_a_market_without_a_source_is_shown_and_the_others_go_on() -> None:
    account = running_account(symbols="BTCUSDT ETHUSDT")
    loop = runner(Files(BTCUSDT=random_candles(2 * HISTORY)))
    for _ in range(3):
        loop.cycle()
    assert {symbol for symbol, _ in snapshots()} == {"BTCUSDT"}
    assert len(snapshots()) == 3
    assert SAID == ["ETHUSDT 1h: no candle file for ETHUSDT"]
    log = AgentLog.objects.get(user=account.user_id, agent_type=AgentType.MARKET_MONITOR)
    assert log.message == "Cannot follow ETHUSDT at 1h: no candle file for ETHUSDT"


def test_a_source_that_stays_away_is_one_line_in_the_log() -> None:
    account = running_account()
    symbol, now = Symbol.objects.get(symbol="BTCUSDT"), timezone.now()
    down = SourceDown("bybit", "it does not answer")
    waits = [CircuitOpen("bybit", down.problem, now + timedelta(minutes=minutes)) for minutes in (1, 2)]
    for failures in ([down], waits[:1], waits[1:], [down]):
        journal.not_observed(symbol, "1h", NoSource("BTCUSDT 1h", failures))
    log = AgentLog.objects.get(user=account.user_id, agent_type=AgentType.MARKET_MONITOR)
    assert log.message == "Cannot follow BTCUSDT at 1h: no source for BTCUSDT 1h: bybit: it does not answer"


def test_a_reason_that_counts_is_one_line_in_the_log() -> None:
    account = running_account()
    for seconds in (31, 32):
        late = SourceDown("bybit", f"its clock is {seconds} s behind")
        journal.not_observed(Symbol.objects.get(symbol="BTCUSDT"), "1h", late)
    assert AgentLog.objects.filter(user=account.user_id, agent_type=AgentType.MARKET_MONITOR).count() == 1
    state = AgentState.objects.get(user=account.user_id, agent_type=AgentType.MARKET_MONITOR)
    assert state.error_message == "Cannot follow BTCUSDT at 1h: bybit: its clock is 32 s behind"


def test_an_error_in_the_middle_of_a_market_is_shown_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    account = running_account(symbols="BTCUSDT ETHUSDT")
    files = Files(BTCUSDT=random_candles(2 * HISTORY), ETHUSDT=random_candles(2 * HISTORY))
    loop = runner(files)
    publish = loop.pipeline.monitor.publish

    def failing(symbol, *arguments):
        if symbol.symbol == "BTCUSDT":
            raise ZeroDivisionError("a bug")
        return publish(symbol, *arguments)

    loop.pipeline.monitor.publish = failing
    loop.cycle()
    assert {symbol for symbol, _ in snapshots()} == {"ETHUSDT"}
    # ETHUSDT, the other of the two, succeeded after it.
    log = AgentLog.objects.get(user=account.user_id, agent_type=AgentType.MARKET_MONITOR)
    assert log.message == "Cannot follow BTCUSDT at 1h: a bug"


def test_markets_of_one_account_are_played_in_one_time() -> None:
    early, late = random_candles(4 * HISTORY), random_candles(2 * HISTORY, seed=1)
    late.index = late.index + pd.Timedelta(hours=3 * HISTORY)
    running_account(symbols="BTCUSDT ETHUSDT")
    loop = runner(Files(BTCUSDT=early, ETHUSDT=late))
    while loop.cycle():
        pass
    times = [time for _, time in snapshots()]
    assert times == sorted(times)
    assert {symbol for symbol, _ in snapshots()} == {"BTCUSDT", "ETHUSDT"}
    assert SAID == ["BTCUSDT 1h: no candle is left to play", "ETHUSDT 1h: no candle is left to play"]


def test_accounts_that_share_no_market_do_not_wait_for_each_other() -> None:
    later = random_candles(2 * HISTORY, seed=1)
    later.index = later.index + pd.Timedelta(days=1000)
    running_account("ann@example.com", symbols="BTCUSDT")
    running_account("bob@example.com", symbols="ETHUSDT")
    loop = runner(Files(BTCUSDT=random_candles(2 * HISTORY), ETHUSDT=later))
    assert loop.cycle() == 2


def test_it_waits_for_the_database_and_reports_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running_account()
    loop = runner(Files(BTCUSDT=random_candles(2 * HISTORY)))
    markets, failures = runner_module.watched_markets, iter([True, True, False])

    def failing():
        if next(failures, None) is None:
            loop.stop.set()
            return markets()
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(runner_module, "watched_markets", failing)
    monkeypatch.setattr(loop.stop, "wait", lambda seconds: loop.stop.is_set())
    loop.run()
    assert SAID == [
        "the database does not answer, trying again: the server closed the connection",
        "the database answers again",
    ]
    assert len(snapshots()) in (0, 1)


def test_a_stop_ends_the_wait_at_once() -> None:
    stop = Stop()
    assert not stop.wait(0.0)
    stop.set()
    assert stop.wait(60.0)


def test_the_agents_show_that_they_work() -> None:
    account = running_account()
    runner(Files(BTCUSDT=random_candles(2 * HISTORY))).cycle()
    monitor = AgentState.objects.get(user=account.user_id, agent_type=AgentType.MARKET_MONITOR)
    assert (monitor.status, monitor.error_message) == ("RUNNING", "")
    assert monitor.last_activity is not None
    maker = AgentState.objects.get(user=account.user_id, agent_type=AgentType.DECISION_MAKER)
    assert maker.error_message == "Cannot decide: no random_forest model for BTCUSDT at 1h yet"


def test_a_missing_model_is_logged_once_and_not_at_every_candle() -> None:
    account = running_account()
    loop = runner(Files(BTCUSDT=random_candles(2 * HISTORY)))
    for _ in range(3):
        loop.cycle()
    assert AgentLog.objects.filter(user=account.user_id).count() == 1
    assert list(differences(Account.objects.all())) == []


def test_the_data_of_the_project_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(ReplaySource.of_file("GOOG", "1d").candles) > 2000
