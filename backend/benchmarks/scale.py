"""Many symbols and many accounts: how long the agents take for one candle of each.

    DATABASE_URL=postgres://user:password@host/an_empty_database python -m benchmarks.scale

100 symbols that 100 accounts trade are 10,000 decisions a minute, each with its outcome, through the real agents and
the Message table in one process. Every other account wants more certainty than the predictor has, and about one
decision in twenty becomes a trade. The minutes before the measured ones open the positions that those sell. At the
end of each size the books are audited. The database is emptied. DATABASE_URL=sqlite:///FILE measures SQLite.
"""

import argparse
import cProfile
import os
import pstats
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import django

from benchmarks.known_market import (
    SURE,
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
    from trading.runtime.pipeline import Pipeline
    from trading.selectors.markets import Market

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

TARGET_SECONDS = 30.0
SHAPES = [(25, 100), (50, 100), (100, 100), (100, 50), (100, 25)]
# A symbol is bought once in so many minutes, and sold so many minutes later.
PERIOD, HELD = 20, 3


@dataclass(frozen=True, slots=True)
class Minute:
    """What one candle of every market cost, and what came of it."""

    watching: float
    deciding: float
    processor: float
    queries: int
    decisions: int
    trades: int

    @property
    def seconds(self) -> float:
        return self.watching + self.deciding


def says(snapshot: Snapshot) -> Action:
    phase = (minute_of(snapshot) + int(snapshot.symbol[1:4])) % PERIOD
    return {0: Action.BUY, HELD: Action.SELL}.get(phase, Action.HOLD)


class Counter:
    """Counts the queries of a block."""

    def __init__(self) -> None:
        self.queries = 0

    def __call__(self, execute, sql, parameters, many, context):
        self.queries += 1
        return execute(sql, parameters, many, context)


def play(pipeline: "Pipeline", markets: "Sequence[Market]") -> Minute:
    """The next candle of every market, all the way to the outcome of every decision."""
    from django.db import connection

    from trading.models import Decision, Trade

    before, counter = (Decision.objects.count(), Trade.objects.count()), Counter()
    began, worked = perf_counter(), process_time()
    with connection.execute_wrapper(counter):
        for market in markets:
            pipeline.monitor.observe(market.symbol, market.interval, pipeline.replay(market))
        told = perf_counter()
        pipeline.drain()
    ended, processor = perf_counter(), process_time() - worked
    if waiting := Decision.objects.filter(status=Decision.Status.PENDING).count():
        raise BenchmarkError(f"{waiting} decisions have no outcome")
    decisions, trades = Decision.objects.count() - before[0], Trade.objects.count() - before[1]
    return Minute(told - began, ended - told, processor, counter.queries, decisions, trades)


def measured(symbols: int, accounts: int, minutes: int) -> list[Minute]:
    """A market of that size, from an empty database on."""
    from market.sources.replay import ReplaySource
    from trading.runtime.pipeline import Pipeline

    empty_database()
    markets = made_markets(symbols)
    made_accounts(accounts - accounts // 2, markets, "eager", max_position="0.01")
    made_accounts(accounts // 2, markets, "careful", max_position="0.01", confidence_threshold=SURE + 0.1)
    candles = made_candles(WINDOW + HELD + minutes + 1)
    source = ReplaySource(candles, candles.index[WINDOW].to_pydatetime())
    pipeline = Pipeline(sources=lambda symbol, interval: source, predictor=Known(says))  # type: ignore[arg-type]  # answers like a Predictor
    for market in markets:
        pipeline.prepare(market)
    for _ in range(HELD):
        play(pipeline, markets)
    found = [play(pipeline, markets) for _ in range(minutes)]
    audited()
    return found


def line(symbols: int, accounts: int, minutes: Sequence[Minute]) -> str:
    decisions = sum(minute.decisions for minute in minutes)
    share = 100 * sum(minute.trades for minute in minutes) / decisions
    seconds, each = median(minute.seconds for minute in minutes), decisions / len(minutes)
    watching, deciding = (median(getattr(minute, name) for minute in minutes) for name in ("watching", "deciding"))
    queries, processor = (median(getattr(minute, name) for minute in minutes) for name in ("queries", "processor"))
    return (
        f"{symbols:4} x {accounts:<4} {each:9.0f} {share:8.1f} {watching:9.2f} {deciding:9.2f} {seconds:8.2f}"
        f" {processor:8.2f} {queries:8.0f} {1e6 * seconds / each:12.0f}"
    )


def profiled(symbols: int, accounts: int, minutes: int) -> None:
    profile = cProfile.Profile()
    profile.enable()
    measured(symbols, accounts, minutes)
    profile.disable()
    pstats.Stats(profile).sort_stats("cumulative").print_stats(90)


def table(shapes: Sequence[tuple[int, int]], minutes: int) -> bool:
    """Prints a line for each size; whether all were within the target."""
    from django.db import connection

    print(f"{connection.vendor}; {machine()}; medians of {minutes} minutes")
    print("symbols x    decisions        %    monitor decisions      all   Python             microseconds")
    print("  accounts    a minute   trades          s and fills s        s        s  queries   a decision")
    fast = True
    for symbols, accounts in shapes:
        found = measured(symbols, accounts, minutes)
        fast &= max(minute.seconds for minute in found) < TARGET_SECONDS
        print(line(symbols, accounts, found), flush=True)
    print(machine())
    return fast


def shape(text: str) -> tuple[int, int]:
    symbols, accounts = map(int, text.split("x"))
    return symbols, accounts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shapes", nargs="*", type=shape, default=SHAPES, help="SYMBOLSxACCOUNTS, as 100x100")
    parser.add_argument("--minutes", type=int, default=5, help="that are measured of each size")
    parser.add_argument("--profile", action="store_true", help="where the time of the first size goes")
    chosen = parser.parse_args()
    if "DATABASE_URL" not in os.environ:
        parser.error("DATABASE_URL has to name an empty database, which will be emptied again")
    django.setup()
    from django.conf import settings

    settings.DEBUG = False  # or every query would be kept
    try:
        if chosen.profile:
            symbols, accounts = chosen.shapes[0]
            profiled(symbols, accounts, chosen.minutes)
            return 0
        return 0 if table(chosen.shapes, chosen.minutes) else 1
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
