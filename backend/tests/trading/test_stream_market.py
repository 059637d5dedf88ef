"""`stream_market` as a process of its own, and the Celery tasks of live markets."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
import time_machine
from django.core.management import CommandError, call_command

from market.models import Candle
from tests.market.servers.series import milliseconds
from tests.trading.exchange import MINUTE, SETTLED, START, Exchange
from tests.trading.markets import market, running_account
from trading.live.feeds import LIVE, Feeds
from trading.live.markets import LiveMarkets
from trading.models import AgentState, AgentType, Message
from trading.runtime import tasks
from trading.runtime.heartbeat import STREAM, beat
from trading.runtime.pipeline import Pipeline
from trading.runtime.stop import Stop
from trading.runtime.streaming import Relay

BACKEND = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 90


class Current(Exchange):
    """Of now: REST does not have the last closed candle yet."""

    def __init__(self) -> None:
        super().__init__(["BTCUSDT"], future=0)
        shift = milliseconds(datetime.now(UTC).replace(second=0, microsecond=0)) - milliseconds(START)
        for series in self.truth.values():
            series.bars[:] = [type(bar)(bar.time + shift, *list(vars(bar).values())[1:]) for bar in series.bars]
        self.newest = {symbol: series.bars.pop() for symbol, series in self.truth.items()}

    def now(self) -> datetime:
        return datetime.now(UTC)


@contextmanager
def streaming(folder: Path, exchange: Exchange, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {
        "PATH": os.defpath,
        "DATABASE_URL": f"sqlite:///{folder}/photon.sqlite3",
        "BYBIT_BASE_URL": exchange.rest.url,
        "BYBIT_STREAM_URL": exchange.stream.url.removesuffix("/v5/public/spot"),
    }
    command = [sys.executable, str(BACKEND / "manage.py"), "stream_market", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stored(folder: Path) -> list[tuple[str, float]]:
    import sqlite3

    with sqlite3.connect(folder / "photon.sqlite3") as database:
        return database.execute("SELECT source, close FROM market_candle ORDER BY open_time").fetchall()


@pytest.mark.slow
def test_the_command_follows_the_stream_until_sigterm(tmp_path: Path) -> None:
    from tests.trading.exchange import as_candle

    with Current() as exchange, streaming(tmp_path, exchange, "--symbol", "BTCUSDT", "--interval", "1m") as process:
        end = time.monotonic() + PATIENCE_SECONDS
        wanted = ("bybit", float(exchange.newest["BTCUSDT"].close))
        while time.monotonic() < end:
            exchange.stream.close_candle("BTCUSDT", *as_candle(exchange.newest["BTCUSDT"]))
            if exchange.stream.topics and len(stored(tmp_path)) == exchange.past:
                break
            time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert re.search("bybit stream: 1 followed", output)
    assert output.endswith("the stream has ended; the next start fetches the candles missed until then\n")
    candles = stored(tmp_path)
    assert candles[-1] == wanted
    assert len(candles) == exchange.past


def test_an_interval_without_a_symbol_is_one_clear_line(tmp_path: Path) -> None:
    with Exchange(["BTCUSDT"]) as exchange, streaming(tmp_path, exchange, "--interval", "1m") as process:
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, output) == (1, "")
    assert re.fullmatch("CommandError: --interval needs --symbol.*\n", errors)


def check() -> str:
    call_command("stream_market", "--check", stdout=(output := StringIO()))
    return output.getvalue()


def test_it_is_checked_by_its_last_heartbeat() -> None:
    with time_machine.travel(datetime(2026, 1, 5, tzinfo=UTC), tick=False) as clock:
        with pytest.raises(CommandError, match="no heartbeat"):
            check()
        beat(STREAM)
        clock.shift(40)
        assert check() == "stream_market is running: its last heartbeat was 40 s ago\n"
        clock.shift(40)
        with pytest.raises(CommandError, match="last heartbeat of stream_market was 80 s ago"):
            check()


@pytest.mark.django_db(transaction=True)
def test_it_sends_heartbeats() -> None:
    stop = Stop()
    live = LiveMarkets(lambda symbol, interval, now: None, lambda symbol: None, 0.0, workers=0)
    relay = Relay(Pipeline(Feeds(LIVE, live), live=live), "ws://127.0.0.1:1", stop=stop)
    relay.markets = lambda: stop.set() or []
    relay.run()
    assert check() == "stream_market is running: its last heartbeat was 0 s ago\n"


# --- Celery ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(["BTCUSDT"]) as exchange:
        yield exchange


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, exchange: Exchange) -> list[tuple[int, str]]:
    """The tasks that were sent, to agents that follow the exchange."""
    live = LiveMarkets(exchange.fetch(), lambda symbol: None, 0.0, exchange.now, workers=0)
    pipeline, sent = Pipeline(Feeds(LIVE, live), live=live), []
    monkeypatch.setattr(tasks, "pipeline", lambda: pipeline)
    monkeypatch.setattr(tasks, "_waits_for_a_model", lambda market: False)
    monkeypatch.setattr(tasks.timezone, "now", exchange.now)
    monkeypatch.setattr(tasks.follow_market, "apply_async", lambda arguments, **options: sent.append(arguments))
    return sent


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick_passwords")
def test_a_live_market_gets_a_task_when_a_candle_is_due(exchange: Exchange, sent: list[tuple[int, str]]) -> None:
    running_account(interval="1m")
    bitcoin = market("BTCUSDT", "1m").symbol
    tasks.watch_markets()
    assert sent == [(bitcoin.pk, "1m")]
    tasks.follow_market(*sent.pop())
    assert Candle.objects.count() == exchange.past
    assert Message.objects.get().payload["timestamp"] == START.isoformat().replace("+00:00", "Z")
    tasks.watch_markets()
    assert sent == []
    exchange.pass_minutes()
    tasks.watch_markets()
    # Idempotent: sent twice, and once more late.
    for _ in range(3):
        tasks.follow_market(*sent[0])
    assert Message.objects.count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick_passwords")
def test_a_source_that_is_down_is_shown_by_the_workers_too(exchange: Exchange, sent: list[tuple[int, str]]) -> None:
    from tests.market.servers.faults import SERVER_ERROR

    running_account(interval="1m")
    exchange.rest.faults.add(SERVER_ERROR)
    tasks.follow_market(market("BTCUSDT", "1m").symbol.pk, "1m")
    monitor = AgentState.objects.get(agent_type=AgentType.MARKET_MONITOR)
    assert monitor.status == "ERROR"
    assert "503" in monitor.error_message
    exchange.rest.faults.clear()
    exchange.time += MINUTE + SETTLED
    tasks.follow_market(market("BTCUSDT", "1m").symbol.pk, "1m")
    monitor.refresh_from_db()
    assert monitor.status == "RUNNING"
