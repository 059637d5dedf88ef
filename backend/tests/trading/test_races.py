"""Processes at work on the same messages, markets and money: no candle, decision or trade comes twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

BACKEND = Path(__file__).resolve().parents[2]
TURNS = 25
# What a racer of the crowd may be told. Anything else is an error that escaped.
REFUSALS = {"insufficient_cash", "exceeds_position", "no_position", "position_limit", "notional_too_small"}
EXPECTED = {"closed", "PositionClosed", "NoPrice", "placed"} | REFUSALS
SEED = """
from django.core.management import call_command
from trading.books.demo import demo_account
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import watched_markets
from trading.training.trainer import train, wanted_models
call_command("migrate", verbosity=0)
for number in range(2):
    demo_account(f"demo{number}@example.com", ["GOOG", "IBM"], "1d")
for market in watched_markets():
    Pipeline().prepare(market)
    for name in wanted_models(market):
        train(market, name)
"""
PLAY = """
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import watched_markets
from trading.training.trainer import warm_up
pipeline = Pipeline()
for market in watched_markets():
    warm_up(market, pipeline.predictor)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[1])):
    for market in watched_markets():
        pipeline.process_next(market)
"""
CROWD = """
from tests.trading.crowd import race
race(*map(int, sys.argv[1:]))
"""
COUNT = """
from trading.books.audit import differences
from trading.models import Account, Decision, Message, Trade
from trading.runtime.pipeline import Pipeline
Pipeline().drain()
snapshots = Message.objects.filter(type="MARKET_SNAPSHOT").count()
print(*differences(Account.objects.all()), sep="\\n", file=sys.stderr, end="")
print(snapshots, Decision.objects.count(), Trade.objects.count(), Message.objects.filter(attempts__gt=0).count())
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_two_processes_trade_every_decision_once(tmp_path: Path) -> None:
    url = shared_database(tmp_path)
    finished(start(SEED, url))
    racers = [start(PLAY, url, str(TURNS)) for _ in range(2)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n", racer.communicate()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        finished(racer)
    snapshots, decisions, trades, failures = map(int, finished(start(COUNT, url)).split())
    assert TURNS * 2 <= snapshots <= TURNS * 4
    assert decisions == snapshots * 2
    assert trades > 2
    assert failures == 0


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_crowd_on_one_account_spends_nothing_twice(tmp_path: Path) -> None:
    # SQLite has one writer at a time, who makes the others wait.
    racers, candles = (4, 8) if connection.vendor == "sqlite" else (8, 12)
    found = json.loads(finished(start(CROWD, shared_database(tmp_path), str(racers), str(candles))))
    told, orders = found["told"], found["orders"]
    assert found["exits"] == [0] * racers
    assert (found["differences"], found["failures"]) == ([], 0)
    assert found["lowest_cash"] >= 0
    assert told["placed"] == found["placed"] == found["kept"] > 0
    assert told["placed"] + told.get("closed", 0) == orders["manual"]
    # Who comes first differs from run to run; that all of them were there does not.
    assert {"signal", "manual"} < set(orders) <= {"signal", "manual", "stop_loss", "take_profit"}
    assert set(told) <= EXPECTED
    assert set(told) & REFUSALS
    assert sum(found["decisions"].values()) == found["snapshots"] == candles * 4
    # Those of the last candles: their price has not come yet.
    assert found["decisions"].pop("pending") == 4
    assert set(found["decisions"]) <= {"executed", "skipped", "rejected"}


def start(script: str, url: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.defpath, "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": url}
    command = [sys.executable, "-c", f"import django, sys\ndjango.setup()\n{script}", *arguments]
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    return subprocess.Popen(command, cwd=BACKEND, env={**environment, "LOG_LEVEL": "WARNING"}, text=True, **pipes)


def finished(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=180)
    assert (process.returncode, errors) == (0, "")
    return output


def shared_database(folder: Path) -> str:
    """A database that several processes can use: the test's own on PostgreSQL, a file and not memory on SQLite."""
    if connection.vendor == "sqlite":
        return f"sqlite:///{folder}/race.sqlite3"
    database = connection.settings_dict
    user = database["USER"] + (f":{database['PASSWORD']}" if database["PASSWORD"] else "")
    return f"postgres://{user}@{database['HOST'] or 'localhost'}:{database['PORT'] or 5432}/{database['NAME']}"
