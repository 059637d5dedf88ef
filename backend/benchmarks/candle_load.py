"""A million candles from PostgreSQL into a frame, beside a bare COPY of the same rows in the same run.

    DATABASE_URL=postgres://user:password@host/a_database python -m benchmarks.candle_load

The bare COPY is psycopg's, binary, of the same columns in the same order; its bytes are thrown away. Both are timed in
turn, by the clock and in processor seconds of this process. The candles are kept under a symbol of their own
(BENCHUSDT), so that a second run only measures. DATABASE_URL=sqlite:///FILE measures SQLite beside its bare fetchall.
"""

import argparse
import os
import sys
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

import django
import numpy as np
import pandas as pd

from benchmarks.measure import spread

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

ROWS, ROUNDS, TARGET = 1_000_000, 7, 3.0
SYMBOL, INTERVAL = "BENCHUSDT", "1m"
SELECT = (
    "SELECT open_time, open, high, low, close, volume FROM market_candle "
    "WHERE symbol_id = {symbol} AND interval = '1m' ORDER BY open_time"
)


def prepare(rows: int) -> Any:
    from django.core.management import call_command

    from market.models import Candle
    from market.services import add_symbol, store_candles

    call_command("migrate", verbosity=0)
    symbol = add_symbol(SYMBOL)
    if Candle.objects.filter(symbol=symbol, interval=INTERVAL).count() != rows:
        close = 40_000 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 1e-4, rows))).round(2)
        columns = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": close / 3}
        index = pd.date_range("2020-01-01", periods=rows, freq="min", tz="UTC", unit="us")
        began = perf_counter()
        new = store_candles(symbol, INTERVAL, pd.DataFrame(columns, index=index), "benchmark")
        print(f"stored {new:,} candles in {perf_counter() - began:.1f} s")
    return symbol


def bare(symbol: Any) -> int:
    """The same rows, read and thrown away; how many bytes or rows they were."""
    from django.db import connection

    select = SELECT.format(symbol=symbol.pk)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            return len(cursor.execute(select.replace("open_time,", "CAST(open_time AS TEXT),", 1)).fetchall())
        with cursor.copy(f"COPY ({select}) TO STDOUT (FORMAT BINARY)") as copy:
            return sum(len(block) for block in copy)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    began, worked = perf_counter(), process_time()
    work()
    return perf_counter() - began, process_time() - worked


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    if "DATABASE_URL" not in os.environ:
        parser.error("DATABASE_URL has to name a database")
    django.setup()
    from django.conf import settings
    from django.db import connection

    from engine.candles import validate
    from market.selectors import candle_frame

    settings.DEBUG = False  # or every query would be kept
    symbol = prepare(chosen.rows)
    if len(validate(candle_frame(symbol, INTERVAL), INTERVAL)) != chosen.rows:
        print("the frame does not hold the candles that were stored", file=sys.stderr)
        return 2
    bare(symbol)
    rounds = [
        (timed(lambda: candle_frame(symbol, INTERVAL)), timed(lambda: bare(symbol))) for _ in range(chosen.rounds)
    ]
    print(f"{connection.vendor}, {chosen.rows:,} candles, load average {os.getloadavg()[0]:.1f}")
    ratio = 0.0
    for place, name in enumerate(("seconds", "processor seconds")):
        ours, theirs = ([pair[side][place] for pair in rounds] for side in (0, 1))
        ratio = float(np.median(np.array(ours) / np.array(theirs)))
        print(f"{name:18} frame {spread(ours)}   bare {spread(theirs)}   ratio {ratio:.2f}, target {TARGET:g}")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
