"""Do the books survive? Celery workers are killed, the broker is emptied and restarted, tasks come twice.

Each account trades one market, so what it ends with is a function of the candles alone: the disturbed run has to end
in the same decisions, trades and cash as a calm run of the same agents, to the last digit, and its audit has to find
nothing.

    python benchmarks/faults.py postgres://user@127.0.0.1:5432/EXISTING_DATABASE --kills 200 --candles 200

Needs redis-server. Databases and a Redis of its own are made and removed; everything stays on 127.0.0.1.
"""

import argparse
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

BACKEND = Path(__file__).resolve().parents[1]
FILES = {"GOOG": "1d", "IBM": "1d", "EURUSD": "1h"}
ACCOUNTS_EACH = 2
WORKERS = 2
QUEUES = "market,decisions,execution,learning"
PATIENCE_SECONDS = 240
# By how much the play is to outlast the kills.
PACE_MARGIN = 1.15


class Site:
    """A folder with short candle files, a Redis of its own, and processes that may be killed at any time."""

    def __init__(self, server_url: str, folder: Path, candles: int) -> None:
        self.server_url, self.folder, self.candles = server_url, folder, candles
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.redis_port = probe.getsockname()[1]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.log = (folder / "log").open("ab")
        (folder / "data").mkdir()
        for symbol, interval in FILES.items():
            lines = (BACKEND.parent / "data" / f"{symbol}_{interval}.csv").read_text().splitlines()
            # Half of a file is history, the rest is played.
            (folder / "data" / f"{symbol}_{interval}.csv").write_text("\n".join(lines[: 2 * candles + 1]) + "\n")

    @property
    def decisions(self) -> int:
        """How many there are when all has been played."""
        return len(FILES) * ACCOUNTS_EACH * self.candles

    def database_url(self, database: str) -> str:
        return re.sub(r"/[^/]*$", f"/{database}", self.server_url)

    def environment(self, database: str) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.database_url(database),
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "MARKET_POLL_SECONDS": "0.4",
            "PYTHONPATH": str(BACKEND),
            "LOG_LEVEL": "WARNING",
        }

    def inside(self, step: str, database: str) -> str:
        command = [sys.executable, __file__, "--inside", step]
        environment = self.environment(database)
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=True, stdout=subprocess.PIPE, stderr=self.log, text=True
        ).stdout

    def start(self, name: str, database: str) -> None:
        celery = [sys.executable, "-m", "celery", "-A", "config"]
        commands = {
            "redis": ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", ""],
            "beat": [*celery, "beat", "-l", "warning", "-s", str(self.folder / "beat")],
        }
        worker = [*celery, "worker", "-l", "warning", "-Q", QUEUES, "-c", "2", "-n", f"{name}@here", "--without-mingle"]
        self.processes[name] = subprocess.Popen(
            commands.get(name, worker),
            cwd=self.folder,
            env=self.environment(database),
            stdout=self.log,
            stderr=self.log,
            # A group of its own, so that a worker dies with its children.
            start_new_session=True,
        )

    def kill(self, name: str) -> None:
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def kill_child(self, name: str, choice: random.Random) -> bool:
        """One process of the worker's pool; the worker replaces it."""
        children = Path(f"/proc/{self.processes[name].pid}/task/{self.processes[name].pid}/children")
        pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        if pids:
            os.kill(choice.choice(pids), signal.SIGKILL)
        return bool(pids)

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


class Disturber:
    """One disturbance at a time, chosen by a seeded generator."""

    def __init__(self, site: Site, database: str, seed: int) -> None:
        self.site, self.database = site, database
        self.choice = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.workers = [f"worker{number}" for number in range(WORKERS)]

    def disturb(self) -> None:
        kinds = {"child": 12, "worker": 3, "beat": 1, "flush": 1, "redis": 1, "duplicates": 3}
        kind = self.choice.choices(list(kinds), list(kinds.values()))[0]
        if getattr(self, kind)():
            self.done[kind] += 1

    @property
    def kills(self) -> int:
        return self.done["child"] + self.done["worker"] + self.done["beat"] + self.done["redis"]

    def child(self) -> bool:
        return self.site.kill_child(self.choice.choice(self.workers), self.choice)

    def worker(self) -> bool:
        return self._again(self.choice.choice(self.workers))

    def beat(self) -> bool:
        return self._again("beat")

    def redis(self) -> bool:
        return self._again("redis")

    def flush(self) -> bool:
        return self._redis("FLUSHALL")

    def duplicates(self) -> bool:
        try:
            self.site.inside("duplicates", self.database)
        except subprocess.CalledProcessError:
            return False
        return True

    def _again(self, name: str) -> bool:
        self.site.kill(name)
        self.site.start(name, self.database)
        return True

    def _redis(self, command: str) -> bool:
        words = ["redis-cli", "-p", str(self.site.redis_port), command]
        return subprocess.run(words, check=False, capture_output=True, timeout=5).returncode == 0


def run(server_url: str, kills: int, candles: int, seed: int) -> bool:
    import psycopg

    calm, faulty = (f"photon_{name}_{os.getpid()}" for name in ("calm", "faulty"))
    with psycopg.connect(server_url, autocommit=True) as server, tempfile.TemporaryDirectory() as folder:
        site = Site(server_url, Path(folder), candles)
        for name in (calm, faulty):
            server.execute(f"CREATE DATABASE {name}")
        try:
            site.inside("seed", calm)
            site.inside("play", calm)
            site.inside("seed", faulty)
            disturbed = _disturbed(site, faulty, kills, seed)
            same = _compared(site, calm, faulty)
            return disturbed and same
        finally:
            site.stop()
            if os.environ.get("KEEP_LOG"):
                Path(os.environ["KEEP_LOG"]).write_bytes((Path(folder) / "log").read_bytes())
            for name in (calm, faulty):
                server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _disturbed(site: Site, database: str, kills: int, seed: int) -> bool:
    import psycopg

    for name in ("redis", "beat", *[f"worker{number}" for number in range(WORKERS)]):
        site.start(name, database)
    disturber, begun = Disturber(site, database, seed), time.monotonic()
    at_work = 0
    with psycopg.connect(site.database_url(database), autocommit=True) as observer:
        while disturber.kills < kills:
            time.sleep(disturber.choice.uniform(0.1, 0.8))
            disturber.disturb()
            left = site.decisions - _decided(observer)
            if left > 0:
                at_work = disturber.kills
            if disturber.kills:
                seconds_a_kill = (time.monotonic() - begun) / disturber.kills
                _pace(observer, (kills - disturber.kills) * seconds_a_kill, left * site.candles / site.decisions)
        _pace(observer, 0, 1)
    print(f"{disturber.kills} kills in {time.monotonic() - begun:.0f} s: {dict(disturber.done)}")
    print(f"{at_work} of them while there were candles to play", flush=True)
    quiet = time.monotonic()
    while json.loads(site.inside("left", database)):
        if time.monotonic() - quiet > PATIENCE_SECONDS:
            print(f"not done {PATIENCE_SECONDS} s after the last kill: {site.inside('left', database)}")
            return False
        time.sleep(1)
    print(f"all candles played {time.monotonic() - quiet:.0f} s after the last kill", flush=True)
    if at_work < kills:
        print("the play was over before the kills: nothing is proved by the last of them; give it more --candles")
    return at_work >= kills


def _decided(observer: Any) -> int:
    return int(observer.execute("SELECT count(*) FROM trading_decision").fetchone()[0])


def _pace(observer: Any, seconds: float, candles: float) -> None:
    """Lets what is left to play take a little longer than the kills that are left; `candles` of each market."""
    each = PACE_MARGIN * seconds / max(candles, 1)
    observer.execute("UPDATE trading_tradingsettings SET replay_seconds = %s", (round(each, 3),))


def _compared(site: Site, calm: str, faulty: str) -> bool:
    expected, found = (json.loads(site.inside("books", name)) for name in (calm, faulty))
    for name in expected:
        rows = len(expected[name])
        print(f"{name}: {rows} rows, {'the same' if expected[name] == found[name] else 'DIFFERENT'}")
    differences = json.loads(site.inside("audit", faulty))
    print(f"the audit found {len(differences)} differences", *differences[:10], sep="\n")
    return bool(expected == found and not differences and expected["trades"])


def inside(step: str) -> None:
    """A step in a process with Django and the database that the environment names."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    {"seed": _seed, "play": _play, "left": _left, "books": _books, "audit": _audit, "duplicates": _duplicates}[step]()


def _seed() -> None:
    from django.core.management import call_command

    from trading.books.demo import demo_account

    call_command("migrate", verbosity=0)
    for symbol, interval in FILES.items():
        for number in range(ACCOUNTS_EACH):
            demo_account(f"{symbol.lower()}{number}@example.com", [symbol], interval)


def _play() -> None:
    from trading.runtime.loop import Runner
    from trading.runtime.replay_clock import ended
    from trading.selectors.markets import watched_markets

    runner = Runner(0.0, say=print)
    while len(ended(markets := watched_markets(), runner.pipeline)) < len(markets):
        if not runner.cycle():
            time.sleep(0.1)
    runner.pipeline.drain()


def _left() -> None:
    """What is still to be done: markets with candles to play, and messages that wait for more than a price."""
    from trading.models import Message
    from trading.runtime.pipeline import Pipeline
    from trading.runtime.replay_clock import ended
    from trading.selectors.markets import watched_markets

    markets, pipeline = watched_markets(), Pipeline()
    unfinished = set(markets) - set(ended(markets, pipeline))
    waiting = Message.objects.filter(processed_at=None, parked_at=None)
    working = [row for row in waiting if not _is_last(row, pipeline)]
    print(json.dumps([str(market.symbol) for market in unfinished] + [str(row) for row in working]))


def _is_last(message, pipeline) -> bool:
    """A decision on the last candle waits for a price that will not come."""
    from datetime import datetime

    if message.type != message.Type.TRADE_DECISION:
        return False
    closed = datetime.fromisoformat(message.caused_by.payload["timestamp"])
    return pipeline.quote(message.symbol, message.interval, closed) is None


def _books() -> None:
    from django.core.serializers.json import DjangoJSONEncoder

    from trading.models import Account, CashEntry, Decision, EquityPoint, Position, Trade

    columns: dict[str, tuple[Any, ...]] = {
        "decisions": (
            Decision,
            "close_time",
            "action",
            "status",
            "reason_code",
            "quantity",
            "confidence",
            "model_version",
        ),
        "trades": (Trade, "timestamp", "action", "order__reason", "quantity", "price", "amount", "commission", "pnl"),
        "positions": (Position, "opened_at", "closed_at", "quantity", "cost", "pnl", "stop_loss", "high"),
        "cash": (CashEntry, "amount", "balance"),
        "equity": (EquityPoint, "time", "balance", "equity"),
    }
    books = {
        name: list(model.objects.order_by("account__user__email", "pk").values_list("account__user__email", *fields))
        for name, (model, *fields) in columns.items()
    }
    accounts = Account.objects.order_by("user__email")
    books["accounts"] = list(
        accounts.values_list("user__email", "cash", "realised", "commissions", "equity", "peak_equity")
    )
    print(json.dumps(books, cls=DjangoJSONEncoder))


def _audit() -> None:
    from trading.books.audit import differences
    from trading.models import Account

    print(json.dumps(list(differences(Account.objects.all()))))


def _duplicates() -> None:
    from config.celery import app
    from market.selectors import latest_candles
    from trading.selectors.markets import watched_markets

    for _ in range(3):
        for task, queue in (("decide", "decisions"), ("execute", "execution"), ("watch_markets", "market")):
            app.send_task(f"trading.runtime.tasks.{task}", queue=queue, retry=False)
        for market in watched_markets():
            # The newest candle, and one that was told about long ago.
            for newest in latest_candles(market.symbol, market.interval, 5).index[[0, -1]]:
                arguments = (market.symbol.pk, market.interval, newest.isoformat())
                app.send_task("trading.runtime.tasks.observe_market", arguments, queue="market", retry=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server_url", nargs="?", default="postgres://root@127.0.0.1:5432/postgres")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--candles", type=int, default=200, help="played of each file, 100 or more")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside)
        return
    if not run(options.server_url, options.kills, options.candles, options.seed):
        sys.exit("the books did not survive")


if __name__ == "__main__":
    main()
