"""A thousand symbols, a candle of each a minute: how much of this machine it takes to ingest them.

    DATABASE_URL=postgres://user:password@host/a_database python -m benchmarks.ingest [--http]

Each minute every symbol is looked at, its new candle and the overlap are taken, compared and stored, one transaction a
symbol. Counted are the processor seconds of this process and, on PostgreSQL on this machine, of the server process
that works for it. With --http the candles come through the real client of Bybit from a small server on loopback, whose
own time is not counted; without it, from memory. Target: under 10 % of the machine.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import django
import numpy as np
import pandas as pd

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

SYMBOLS, MINUTES, TARGET_PERCENT = 1000, 5, 10.0
HISTORY = 50
START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class MadeSource:
    """A market in memory, the same for all symbols."""

    name = "made"
    prices = "as_traded"

    def __init__(self, minutes: int) -> None:
        close = 100 + np.arange(minutes) % 7 / 10
        columns = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": close}
        index = pd.date_range(START, periods=minutes, freq="min", unit="us", name="open_time")
        self.told = pd.DataFrame(columns, index=index)

    def earliest(self, interval: str, now: datetime) -> None:
        return None

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        first, last = self.told.index.searchsorted([pd.Timestamp(start), pd.Timestamp(end)])
        return self.told.iloc[first:last]

    def fetch(self, symbol: str, interval: str, start: datetime, end: datetime) -> Any:
        from market.sources.base import FetchedCandles

        found = self.candles(symbol, interval, start, end)
        return FetchedCandles(found, self)  # type: ignore[arg-type]  # as much of a Source as is asked


def serve(names: list[str], minutes: int, told: Any, now: Any) -> None:
    """A small Bybit in a process of its own; `now` is shared: seconds of unix time."""
    from tests.market.servers.bybit import BybitServer
    from tests.market.servers.series import Series

    with BybitServer(lambda: datetime.fromtimestamp(now.value, UTC)) as server:
        for name in names:
            server.add(Series(name, "1m", START, minutes + 10))
        told.put(server.url)
        multiprocessing.Event().wait()


@contextmanager
def bybit(names: list[str], minutes: int) -> Iterator[tuple[Any, Any]]:
    """The fetch of the real client, and the clock of its server."""
    from market.sources.base import FetchedCandles
    from market.sources.bybit import BybitSource
    from market.sources.client import HttpSettings

    context = multiprocessing.get_context("spawn")
    told, now = context.Queue(), context.Value("d", START.timestamp())
    process = context.Process(target=serve, args=(names, minutes, told, now), daemon=True)
    process.start()
    source = BybitSource(
        base_url=told.get(timeout=60), http=HttpSettings(clock=lambda: datetime.fromtimestamp(now.value, UTC))
    )
    try:
        yield (
            lambda symbol, interval, start, end: FetchedCandles(source.candles(symbol, interval, start, end), source),
            now,
        )
    finally:
        process.terminate()
        process.join()


def server_seconds() -> float:
    """Processor seconds of the PostgreSQL process behind our connection, 0 where it cannot be seen."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        status = Path(f"/proc/{cursor.fetchone()[0]}/stat")
    if not status.exists():
        return 0.0
    fields = status.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def minute(symbols: list[Any], fetch: Callable[..., Any], now: datetime) -> tuple[float, float, float]:
    """Seconds, processor seconds here and processor seconds of the database for one candle of every symbol."""
    from market.ingestion.candles import ingest

    began, worked, served = perf_counter(), process_time(), server_seconds()
    new = sum(ingest(symbol, "1m", fetch, now).new for symbol in symbols)
    if new != len(symbols):
        raise SystemExit(f"{new} candles were new, not {len(symbols)}")
    return perf_counter() - began, process_time() - worked, server_seconds() - served


def measured(symbols: list[Any], minutes: int, http: bool) -> list[tuple[float, float, float]]:
    from market.ingestion.candles import ingest
    from market.models import Candle, CandleGap

    Candle.objects.filter(symbol__in=symbols).delete()
    CandleGap.objects.filter(symbol__in=symbols).delete()
    ends = [START + (HISTORY + number) * MINUTE for number in range(minutes + 2)]

    def played(fetch: Callable[..., Any], move: Callable[[datetime], object]) -> list[tuple[float, float, float]]:
        found = []
        for place, end in enumerate(ends):
            move(end)
            if place == 0:
                for symbol in symbols:
                    ingest(symbol, "1m", fetch, end)
            else:
                found.append(minute(symbols, fetch, end))
        return found[1:]  # the first one warms up

    if not http:
        return played(MadeSource(HISTORY + minutes + 10).fetch, lambda end: None)
    with bybit([symbol.symbol for symbol in symbols], HISTORY + minutes) as (fetch, now):
        return played(fetch, lambda end: setattr(now, "value", end.timestamp()))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--symbols", type=int, default=SYMBOLS)
    parser.add_argument("--minutes", type=int, default=MINUTES)
    parser.add_argument("--http", action="store_true", help="through Bybit's client from a server on loopback")
    chosen = parser.parse_args()
    if "DATABASE_URL" not in os.environ:
        parser.error("DATABASE_URL has to name a database; candles of B0000USDT and so on are removed from it")
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    from market.services import add_symbol

    settings.DEBUG = False  # or every query would be kept
    call_command("migrate", verbosity=0)
    symbols = [add_symbol(f"B{number:04}USDT") for number in range(chosen.symbols)]
    found = measured(symbols, chosen.minutes, chosen.http)
    seconds, here, there = (median(each) for each in zip(*found, strict=True))
    processors, way = os.cpu_count() or 1, "Bybit over HTTP" if chosen.http else "from memory"
    percent = 100 * (here + there) / (60 * processors)
    print(
        f"{connection.vendor}, {way}, {chosen.symbols} symbols, median of "
        f"{chosen.minutes} minutes, load average {os.getloadavg()[0]:.1f}\n"
        f"{seconds:.2f} s by the clock; processor seconds: {here:.2f} here, {there:.2f} in the database; "
        f"{percent:.1f} % of {processors} processors, target {TARGET_PERCENT:g} %"
    )
    return 0 if percent < TARGET_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
