"""From a closed candle to the committed trade, beside the same three hops written by hand for PostgreSQL.

    DATABASE_URL=postgres://user:password@host/an_empty_database REDIS_URL=redis://host/15 python -m benchmarks.latency

Every decision trades: the predictor says BUY and SELL in turn. One candle is on its way at a time; its latency ends
where the trade is committed.

- loop: the agents in this process, as `run_agents` runs them, from the look for the candle on.
- celery: a worker of four processes on Redis, from the task that stores the candle on. A trigger of this benchmark
  tells when the trade is committed.
- by hand: psycopg 3, LISTEN/NOTIFY, a process for each hop, FOR UPDATE SKIP LOCKED, and a durable commit for each of
  snapshot, decision, and report with trade. It computes nothing: no indicators, no gate, no books.

Then, how many cycles a second 1 and 4 processes work off that wait in 40 markets. The database is emptied.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from statistics import median, quantiles
from time import perf_counter, sleep, time
from typing import TYPE_CHECKING, Any

import django
import psycopg

from benchmarks.known_market import (
    BenchmarkError,
    Known,
    audited,
    empty_database,
    machine,
    made_accounts,
    made_candles,
    made_markets,
    minute_of,
)
from engine.indicators import WINDOW
from engine.orders import Action
from engine.snapshot import Snapshot

if TYPE_CHECKING:
    from market.sources.replay import ReplaySource
    from trading.runtime.pipeline import Pipeline
    from trading.selectors.markets import Market

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

TARGET_RATIO = 5.0
ROWS, WARM_UP, PATIENCE_SECONDS = 6000, 20, 30.0
# In turns, so that a slow minute of the machine meets both.
ROUNDS = 3
QUEUE_MARKETS, QUEUE_CYCLES = 40, 15
OWN_SQL = """
CREATE OR REPLACE FUNCTION benchmark_traded() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_notify('traded', ''); RETURN NULL; END$$;
CREATE OR REPLACE TRIGGER benchmark_traded AFTER INSERT ON trading_trade
  FOR EACH ROW EXECUTE FUNCTION benchmark_traded();
"""
HAND_SQL = """
DROP TABLE IF EXISTS benchmark_message, benchmark_trade;
CREATE TABLE benchmark_message (
  id bigserial PRIMARY KEY, kind text NOT NULL, payload jsonb NOT NULL, caused_by bigint, processed_at timestamptz);
CREATE INDEX ON benchmark_message (kind, id) WHERE processed_at IS NULL;
CREATE TABLE benchmark_trade (id bigserial PRIMARY KEY, message bigint UNIQUE, payload jsonb NOT NULL);
"""
TAKE = """
UPDATE benchmark_message SET processed_at = now() WHERE id = (
  SELECT id FROM benchmark_message WHERE kind = %s AND processed_at IS NULL ORDER BY id LIMIT 1
  FOR UPDATE SKIP LOCKED) RETURNING id, payload
"""
TELL = "INSERT INTO benchmark_message (kind, payload, caused_by) VALUES (%s, %s, %s)"


def says(snapshot: Snapshot) -> Action:
    return (Action.BUY, Action.SELL)[minute_of(snapshot) % 2]


def source() -> "ReplaySource":
    from market.sources.replay import ReplaySource

    candles = made_candles(ROWS)
    return ReplaySource(candles, candles.index[WINDOW].to_pydatetime())


def known_pipeline() -> "Pipeline":
    from trading.runtime.pipeline import Pipeline

    played = source()
    return Pipeline(sources=lambda symbol, interval: played, predictor=Known(says))  # type: ignore[arg-type]  # answers like a Predictor


def prepared(markets: int) -> "list[Market]":
    """From an empty database on: each market has its history, and an account of its own."""
    empty_database()
    found = made_markets(markets)
    pipeline = known_pipeline()
    for number, market in enumerate(found):
        made_accounts(1, [market], f"of{number}-", max_position="0.01")
        pipeline.prepare(market)
    return found


def in_the_loop(market: "Market", cycles: int) -> list[float]:
    from trading.runtime.loop import freeze_garbage

    pipeline = known_pipeline()
    freeze_garbage()
    return [timed_turn(pipeline, market) for _ in range(cycles + WARM_UP)][WARM_UP:]


def timed_turn(pipeline: "Pipeline", market: "Market") -> float:
    """The steps of `Pipeline.turn`. What it does after the trade, two looks at an empty table, is not counted."""
    began = perf_counter()
    pipeline.publish_next(market)
    pipeline.decision_maker.work()
    pipeline.execution.work()
    seconds = perf_counter() - began
    pipeline.drain()
    return seconds


def with_celery(market: "Market", cycles: int, url: str) -> list[float]:
    from market.selectors import latest_candles
    from trading.runtime.tasks import observe_market

    times = []
    with listening(url, "traded") as wait, celery_worker():
        for _ in range(cycles + WARM_UP):
            newest = latest_candles(market.symbol, market.interval, 1).index[-1].isoformat()
            began = perf_counter()
            observe_market.apply_async((market.symbol.pk, market.interval, newest))
            wait()
            times.append(perf_counter() - began)
    return times[WARM_UP:]


@contextmanager
def listening(url: str, channel: str) -> Iterator[Callable[[], None]]:
    """What waits for the next notification."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"LISTEN {channel}")

        def wait() -> None:
            if not list(connection.notifies(timeout=PATIENCE_SECONDS, stop_after=1)):
                raise BenchmarkError(f"nothing came of a candle in {PATIENCE_SECONDS:.0f} s")

        yield wait


@contextmanager
def celery_worker() -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.latency", "--worker"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # its greeting; errors go to stderr
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(timeout=30)


def be_a_worker() -> None:
    """A Celery worker as it is, but for the predictor and the candles."""
    from config.celery import app
    from trading.agents.decision_maker import DecisionMaker
    from trading.runtime import tasks

    agents = tasks.pipeline()
    agents.sources = known_pipeline().sources
    agents.predictor = Known(says)  # type: ignore[assignment]  # answers like a Predictor
    agents.decision_maker = DecisionMaker(agents.predictor, agents.decision_maker.adapter)
    replaced: dict[str, Any] = {"missing_models": lambda market: [], "warm_up": lambda market, predictor: None}
    for name, function in replaced.items():
        setattr(tasks, name, function)
    queues = "market,decisions,execution"
    app.worker_main(["worker", "-l", "error", "-Q", queues, "-c", "4", "--without-mingle", "--without-gossip"])


def hop(url: str, takes: str, tells: str, ready: Event) -> None:
    """One process of the pipeline by hand."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"LISTEN {takes}")
        ready.set()
        while True:
            while pass_on(connection, takes, tells):
                pass
            list(connection.notifies(timeout=1.0, stop_after=1))


def pass_on(connection: "psycopg.Connection[Any]", takes: str, tells: str) -> bool:
    with connection.transaction():
        found = connection.execute(TAKE, (takes,)).fetchone()
        if found is None:
            return False
        connection.execute(TELL, (tells, json.dumps(found[1]), found[0]))
        if tells == "report":
            connection.execute("INSERT INTO benchmark_trade (message, payload) VALUES (%s, '{}')", (found[0],))
        connection.execute(f"NOTIFY {tells}")
    return True


def by_hand(url: str, cycles: int, payload: str) -> list[float]:
    context, times = multiprocessing.get_context("spawn"), []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(HAND_SQL)
    hops = []
    for takes, tells in (("snapshot", "decision"), ("decision", "report")):
        ready = context.Event()
        hops.append(context.Process(target=hop, args=(url, takes, tells, ready), daemon=True))
        hops[-1].start()
        ready.wait(PATIENCE_SECONDS)
    try:
        with psycopg.connect(url, autocommit=True) as connection, listening(url, "report") as wait:
            for _ in range(cycles + WARM_UP):
                began = perf_counter()
                with connection.transaction():
                    connection.execute(TELL, ("snapshot", payload, None))
                    connection.execute("NOTIFY snapshot")
                wait()
                times.append(perf_counter() - began)
    finally:
        for process in hops:
            process.terminate()
            process.join()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE benchmark_message, benchmark_trade")
    return times[WARM_UP:]


def throughput(processes: int) -> float:
    """Cycles a second, from waiting snapshots to reports, with so many processes at work."""
    from trading.models import Message, Trade

    prepare_queue()
    context = multiprocessing.get_context("spawn")
    ready = [context.Event() for _ in range(processes)]
    go = context.Event()
    workers = [context.Process(target=drain, args=(go, signal), daemon=True) for signal in ready]
    for worker in workers:
        worker.start()
    for signal in ready:
        signal.wait(PATIENCE_SECONDS)
    began = time()
    go.set()
    for worker in workers:
        worker.join()
    last = Message.objects.filter(type=Message.Type.EXECUTION_REPORT).latest("created_at").created_at.timestamp()
    expected = QUEUE_MARKETS * QUEUE_CYCLES
    if Trade.objects.count() != expected:
        raise BenchmarkError(f"{Trade.objects.count()} trades, and not {expected}")
    audited()
    return expected / (last - began)


def prepare_queue() -> None:
    """Many markets with many candles each, none of which has been decided on."""
    markets, monitor = prepared(QUEUE_MARKETS), known_pipeline()
    for market in markets:
        for _ in range(QUEUE_CYCLES):
            monitor.monitor.observe(market.symbol, market.interval, monitor.replay(market))


def drain(go: Event, ready: Event) -> None:
    django.setup()
    from trading.models import Message

    pipeline, waiting = known_pipeline(), Message.objects.filter(processed_at=None)
    waiting.exists()
    ready.set()
    go.wait()
    while waiting.exists():
        if not pipeline.decision_maker.work() + pipeline.execution.work():
            sleep(0.002)


def row(name: str, times: list[float], reference: float) -> str:
    ranks = quantiles([1000 * seconds for seconds in times], n=100, method="inclusive")
    return f"{name:<10} {ranks[49]:9.1f} {ranks[98]:9.1f} {ranks[49] / reference:14.1f}"


def compared(url: str, cycles: int) -> bool:
    """Prints latencies; whether the loop is within the target."""
    from trading.models import Message, Trade

    (market,) = prepared(1)
    loop, hand = list[float](), list[float]()
    for _ in range(ROUNDS):
        loop += in_the_loop(market, cycles // ROUNDS)
        snapshot = Message.objects.filter(type=Message.Type.MARKET_SNAPSHOT).latest("pk")
        hand += by_hand(url, cycles // ROUNDS, json.dumps(snapshot.payload))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(OWN_SQL)
    celery = with_celery(market, cycles, url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP FUNCTION benchmark_traded CASCADE")
    played = len(loop) + len(celery) + (ROUNDS + 1) * WARM_UP
    if Trade.objects.count() != played:
        raise BenchmarkError(f"{Trade.objects.count()} trades of {played} candles")
    audited()
    reference = 1000 * median(hand)
    print(f"{machine()}; {cycles} candles, one at a time")
    print(f"{'ms':<10} {'p50':>9} {'p99':>9} {'p50 / by hand':>14}")
    for name, times in (("by hand", hand), ("loop", loop), ("celery", celery)):
        print(row(name, times, reference), flush=True)
    return 1000 * median(loop) <= TARGET_RATIO * reference


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres") or "REDIS_URL" not in os.environ:
        parser.error("DATABASE_URL has to name an empty PostgreSQL database, and REDIS_URL a Redis database")
    django.setup()
    from django.conf import settings

    settings.DEBUG = False  # or every query would be kept
    if chosen.worker:
        be_a_worker()
        return 0
    try:
        fast = compared(url, chosen.cycles)
        for processes in (1, 4):
            print(f"{processes} processes: {throughput(processes):.0f} cycles/s", flush=True)
        print(machine())
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if fast else 1


if __name__ == "__main__":
    sys.exit(main())
