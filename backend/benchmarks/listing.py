"""How long the lists of the API take when there are a million decisions and a million trades.

    DATABASE_URL=postgres://user:password@host/an_empty_database python -m benchmarks.listing

Every request runs through the whole WSGI application: middleware, token, throttles, permissions, SQL and JSON. The rows
are made by the database and stay there, so that a second run only measures. Account 0 is a heavy one.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import Any
from wsgiref.util import setup_testing_defaults

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

ACCOUNTS, ROWS, HEAVY, REQUESTS = 400, 1_000_000, 50_000, 200
TARGET_MILLISECONDS = 50.0
WARM_UP = 3
SCRIPT = Path(__file__).with_name("listing.sql")
ADDRESSES = [
    "decisions/",
    "decisions/?limit=500",
    "decisions/?offset=2000",
    "decisions/?action=SELL",
    "decisions/?status=rejected",
    "decisions/?symbol=ETHUSDT",
    "decisions/?symbol=ETHUSDT&action=BUY&from_date=2026-01-10",
    "decisions/?from_date=2026-01-05&to_date=2026-01-06",
    "trades/",
    "trades/?action=SELL",
    "trades/?symbol=ETHUSDT",
    "trades/?from_date=2026-01-05&to_date=2026-01-06",
    "positions/",
    "positions/?is_open=true",
    "messages/",
    "messages/?type=MARKET_SNAPSHOT",
    "market-data/",
    "decisions/statistics/",
    "portfolio/",
    "portfolio/equity-curve/",
    "analytics/performance-metrics/",
    "analytics/pnl-curve/",
    "analytics/monthly-breakdown/",
    "dashboard/overview/",
    "dashboard/market-heatmap/",
]


class BenchmarkError(Exception):
    """It cannot be measured here."""


def prepare(accounts: int, rows: int, heavy: int) -> None:
    """Makes users and rows, unless an earlier run has."""
    from django.core.management import call_command
    from django.db import connection

    from accounts.models import User
    from trading.models import Decision

    if connection.vendor != "postgresql":
        raise BenchmarkError("DATABASE_URL has to name a PostgreSQL database")
    call_command("migrate", verbosity=0)
    if Decision.objects.filter(model_version="benchmark").exists():
        return
    if User.objects.exists():
        raise BenchmarkError("the database is in use by others: name an empty one")
    for number in range(accounts):
        User.objects.create(email=f"listing{number}@example.com", password="!")
    script = SCRIPT.read_text().replace(":each", str(-((heavy - rows) // (accounts - 1)))).replace(":heavy", str(heavy))
    with connection.cursor() as cursor:
        for statement in filter(str.strip, script.split(";\n")):
            began = perf_counter()
            cursor.execute(statement)
            print(
                f"{perf_counter() - began:6.1f} s  {statement.strip().splitlines()[-1].strip()[:80]}", file=sys.stderr
            )


def ask(token: str, address: str) -> int:
    """The status of the answer, which is read to its end."""
    from config.wsgi import application

    path, _, parameters = f"/api/trading/{address}".partition("?")
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": parameters, "HTTP_AUTHORIZATION": f"Bearer {token}"}
    environ |= {"REQUEST_METHOD": "GET", "HTTP_HOST": "localhost", "wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    answer: Any = application(environ, lambda status, headers, error=None: statuses.append(status))
    b"".join(answer)
    answer.close()
    return int(statuses[0].split()[0])


def measured(tokens: Sequence[str], address: str, requests: int) -> tuple[float, float, float]:
    """The median and the 95th percentile in milliseconds, and the processor's milliseconds outside the database."""
    times, work = [], []
    for number in range(requests + WARM_UP):
        began, worked = perf_counter(), process_time()
        status = ask(tokens[number % len(tokens)], address)
        times.append(1000 * (perf_counter() - began))
        work.append(1000 * (process_time() - worked))
        if status != 200:
            raise BenchmarkError(f"{address} answered {status}")
    ranks = quantiles(times[WARM_UP:], n=20, method="inclusive")
    return ranks[9], ranks[18], median(work[WARM_UP:])


def table(tokens: Sequence[str], requests: int) -> int:
    """Prints a line for each address; how many of them are above the target."""
    slow = 0
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"{'milliseconds':60} {'p50':>7} {'p95':>7} {'Python':>7}   heavy: {'p50':>7} {'p95':>7}")
    for address in ADDRESSES:
        usual, heavy = measured(tokens[1:], address, requests), measured(tokens[:1], address, requests // 4)
        slow += usual[1] > TARGET_MILLISECONDS
        mark = "  above the target" if usual[1] > TARGET_MILLISECONDS else ""
        figures = "{:7.1f} {:7.1f} {:7.1f}          {:7.1f} {:7.1f}".format(*usual, *heavy[:2])
        print(f"{address:60} {figures}{mark}")
    return slow


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--rows", type=int, default=ROWS, help="decisions, and as many trades")
    parser.add_argument("--heavy", type=int, default=HEAVY, help="how many of them belong to the first account")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="for each address")
    return parser.parse_args()


def main() -> int:
    chosen = options()
    django.setup()
    from django.conf import settings
    from rest_framework.throttling import SimpleRateThrottle

    from accounts.models import User
    from accounts.tokens import issue_tokens

    settings.DEBUG, settings.ALLOWED_HOSTS = False, ["localhost"]  # DEBUG would keep the text of every query
    # One client asks more often here than any may.
    SimpleRateThrottle.THROTTLE_RATES = dict.fromkeys(SimpleRateThrottle.THROTTLE_RATES)
    try:
        prepare(chosen.accounts, chosen.rows, chosen.heavy)
        users = User.objects.filter(email__startswith="listing").order_by("pk")[:50]
        return 1 if table([issue_tokens(user).access for user in users], chosen.requests) else 0
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
