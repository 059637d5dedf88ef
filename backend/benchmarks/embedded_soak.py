"""Does the one process hold? `manage.py up` plays candles fast on SQLite while clients keep it busy over HTTP.

Each client is a user whose agents trade: it logs in, reads lists and pages, buys and sells by hand, changes settings,
asks for decisions, and starts and stops its agents. Wanted: no answer but 2xx and 4xx, never "database is locked", and
books that add up in the end.

    python benchmarks/embedded_soak.py --minutes 10

The database is a file of its own that is removed; everything stays on 127.0.0.1.
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
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.candles import INTERVAL, SYMBOL, write

BACKEND = Path(__file__).resolve().parents[1]
HISTORY = 1000
START_SECONDS, ANSWER_SECONDS, STOP_SECONDS = 90, 30, 20
LOCKED = "database is locked"
READS = [
    "/api/auth/me/",
    "/api/health/ready/",
    "/api/trading/agents/detail/",
    "/api/trading/analytics/performance-metrics/",
    "/api/trading/dashboard/overview/",
    "/api/trading/decisions/",
    f"/api/trading/market-data/candles/?symbol={SYMBOL}",
    "/api/trading/messages/",
    "/api/trading/portfolio/",
    "/api/trading/portfolio/equity-curve/",
    "/api/trading/positions/",
    "/api/trading/settings/",
    "/api/trading/symbols/",
    "/api/trading/trades/",
    "/?part",
]
# What a client does, and how often. A login costs a hash, and a minute has room for 20 of one address.
ACTS = {"read": 60, "order": 20, "settings": 8, "decide": 6, "cycle": 3, "close": 3, "agents": 4}
LOGIN_EVERY_SECONDS = 25
PAUSE_SECONDS = (0.1, 0.25)


@dataclass
class Tally:
    """What was answered, by kind of request; any thread may add to it."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    locked: int = 0
    lock: Lock = field(default_factory=Lock)

    def add(self, kind: str, seconds: float, status: int, text: str) -> None:
        with self.lock:
            self.milliseconds[kind].append(seconds * 1000)
            self.locked += LOCKED in text
            if 400 <= status < 500:
                self.refusals[kind, f"{status} {_code(text)}"] += 1
            elif not 200 <= status < 300:
                self.errors[kind, f"{status} {_code(text)}"] += 1

    def table(self) -> str:
        head = f"{'':>10} {'requests':>9} {'p50 ms':>8} {'p95 ms':>8} {'most ms':>8} {'4xx':>6} {'errors':>7}"
        everything = [number for numbers in self.milliseconds.values() for number in numbers]
        rows = [self._row(kind, sorted(numbers)) for kind, numbers in sorted(self.milliseconds.items())]
        return "\n".join([head, *rows, self._row("all", sorted(everything))])

    def _row(self, kind: str, numbers: list[float]) -> str:
        if not numbers:
            return f"{kind:>10} {0:>9}"
        middle, most = numbers[len(numbers) // 2], numbers[-1]
        late = numbers[int(len(numbers) * 0.95)]
        refused, failed = (
            sum(count for (told, _), count in counts.items() if kind in (told, "all"))
            for counts in (self.refusals, self.errors)
        )
        return f"{kind:>10} {len(numbers):>9} {middle:>8.1f} {late:>8.1f} {most:>8.1f} {refused:>6} {failed:>7}"


class Client(Thread):
    """A user with one connection, who does one thing after the other."""

    def __init__(self, port: int, email: str, password: str, tally: Tally, over: Event) -> None:
        super().__init__(name=email, daemon=True)
        self.connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        self.email, self.password, self.tally, self.over = email, password, tally, over
        self.chance = random.Random(email)
        self.access, self.symbol_id = "", 0
        self.acts: dict[str, Callable[[], object]] = {name: getattr(self, name) for name in ACTS}

    def run(self) -> None:
        # Not all at the same moment.
        self.over.wait(self.chance.uniform(0, 5))
        next_login = 0.0
        while not self.over.is_set():
            if time.monotonic() > next_login:
                self.log_in()
                next_login = time.monotonic() + LOGIN_EVERY_SECONDS
            kind = self.chance.choices(list(ACTS), list(ACTS.values()))[0]
            self.acts[kind]()
            self.over.wait(self.chance.uniform(*PAUSE_SECONDS))

    def log_in(self) -> None:
        credentials = {"email": self.email, "password": self.password}
        self.access = self.ask("login", "POST", "/api/auth/login/", credentials).get("access", self.access)
        followed = self.ask("read", "GET", "/api/trading/symbols/").get("results", [])
        self.symbol_id = next((row["id"] for row in followed if row["symbol"] == SYMBOL), 0)

    def read(self) -> None:
        self.ask("read", "GET", self.chance.choice(READS))

    def order(self) -> None:
        # More often BUY: a sale of what is not held tells nothing.
        action, quantity = self.chance.choice(["BUY", "BUY", "SELL"]), round(self.chance.uniform(0.001, 0.01), 4)
        self.ask("order", "POST", "/api/trading/demo/orders/", _order(action, quantity), str(self.chance.random()))

    def settings(self) -> None:
        changes = {
            "confidenceThreshold": round(self.chance.uniform(0.3, 0.5), 4),
            "riskLevel": self.chance.choice(["low", "medium", "high"]),
            "stopLoss": self.chance.choice([None, 0.002, 0.01]),
            "killSwitch": self.chance.random() < 0.1,
        }
        self.ask("settings", "PATCH", "/api/trading/settings/", changes)

    def decide(self) -> None:
        self.ask("decide", "POST", "/api/trading/agents/decision-maker/", {"symbol_id": self.symbol_id})

    def cycle(self) -> None:
        self.ask("cycle", "POST", f"/api/trading/run-cycle/?symbol={SYMBOL}")

    def close(self) -> None:
        for row in self.ask("read", "GET", "/api/trading/positions/?is_open=true").get("results", [])[:1]:
            self.ask("close", "POST", "/api/trading/positions/close/", {"position_id": row["id"]})

    def agents(self) -> None:
        for action in ("stop", "start"):
            self.ask("agents", "POST", "/api/trading/agents/market-monitor/", {"action": action})

    def ask(self, kind: str, method: str, path: str, body: Any = None, key: str = "") -> Any:
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
        if self.access:
            headers["Authorization"] = f"Bearer {self.access}"
        begun = time.monotonic()
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self.connection.getresponse()
            status, text = answer.status, answer.read().decode()
        except (OSError, HTTPException) as error:
            self.connection.close()
            status, text = 0, json.dumps({"code": type(error).__name__})
        self.tally.add(kind, time.monotonic() - begun, status, text)
        return json.loads(text) if status == 200 and text.startswith("{") else {}


class Up:
    """The process under test, with a folder of its own."""

    def __init__(self, folder: Path, minutes: float, speed: float) -> None:
        self.speed = speed
        # A round takes longer than its pace, so the file does not end before the clients do.
        self.home = write(folder, HISTORY + int(minutes * 60 / speed) + 2000).parents[1]
        self.environment = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/photon.sqlite3",
            "PYTHONPATH": str(BACKEND),
            "LOG_LEVEL": "WARNING",
            "MARKET_SOURCES": "files",
        }
        self.log = folder / "log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> None:
        command = [sys.executable, str(BACKEND / "manage.py"), "up", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--speed", str(self.speed)], cwd=self.home, env=self.environment, stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"it did not start:\n{self.log.read_text()}")
            time.sleep(0.3)

    def inside(self, step: str, *arguments: str) -> str:
        command = [sys.executable, __file__, "--inside", step, *arguments]
        result = subprocess.run(command, cwd=self.home, env=self.environment, check=True, stdout=subprocess.PIPE)
        return result.stdout.decode()

    def stop(self) -> float:
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - begun

    def megabytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
        return int(found[1]) // 1024 if found else 0

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def run(minutes: float, clients: int, speed: float) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        up = Up(Path(folder), minutes, speed)
        users = json.loads(up.inside("seed", str(clients)))
        up.start()
        try:
            tally, memory = _kept_busy(up, users, minutes)
            ended = up.process.poll()
            took = up.stop()
        finally:
            if up.process.poll() is None:
                up.process.kill()
        log = up.log.read_text()
        differences = json.loads(up.inside("audit"))
        _tell(tally, memory, up)
        print(f"it {'ran to the end' if ended is None else 'DIED'} and stopped in {took:.1f} s", flush=True)
        locked, tracebacks = tally.locked + log.count(LOCKED), log.count("Traceback")
        print(f"'{LOCKED}': {locked}; tracebacks in the log: {tracebacks}")
        if locked or tracebacks:
            print(log[-4000:])
        print(f"the audit found {len(differences)} differences", *differences[:10], sep="\n")
        return not (tally.errors or locked or tracebacks or differences) and ended is None and took < STOP_SECONDS


def _kept_busy(up: Up, users: dict[str, str], minutes: float) -> tuple[Tally, list[int]]:
    """What the clients were told, and the memory of the process at each tenth of the time."""
    tally, over, memory = Tally(), Event(), []
    threads = [Client(up.port, email, password, tally, over) for email, password in users.items()]
    for thread in threads:
        thread.start()
    for _ in range(10):
        over.wait(minutes * 6)
        memory.append(up.megabytes())
    over.set()
    for thread in threads:
        thread.join(ANSWER_SECONDS * 3)
    return tally, memory


def _tell(tally: Tally, memory: list[int], up: Up) -> None:
    print(tally.table())
    for name, counts in (("4xx", tally.refusals), ("errors", tally.errors)):
        print(f"{name}:", ", ".join(f"{kind} {told} x{count}" for (kind, told), count in counts.most_common(20)))
    print(up.inside("counts").strip())
    print(f"memory in MB at each tenth of the time: {memory}")


def _order(action: str, quantity: float) -> dict[str, Any]:
    return {"action": action, "symbol": SYMBOL, "quantity": quantity}


def _code(text: str) -> str:
    found = re.search(r'"code": ?"([^"]*)"', text)
    return found[1] if found else text[:80]


def inside(step: str, arguments: list[str]) -> None:
    """A step in a process with Django and the database that the environment names."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    steps: dict[str, Callable[..., None]] = {"seed": _seed, "counts": _counts, "audit": _audit}
    steps[step](*arguments)


def _seed(clients: str) -> None:
    from django.core.management import call_command

    from trading.books.demo import demo_account
    from trading.models import TradingSettings

    call_command("migrate", verbosity=0)
    emails = [f"client{number}@example.com" for number in range(int(clients))]
    passwords = {email: demo_account(email, [SYMBOL], INTERVAL)[1] for email in emails}
    # They are to trade on, whatever they lose.
    TradingSettings.objects.update(max_drawdown=None, max_daily_loss=None)
    print(json.dumps(passwords))


def _counts() -> None:
    from market.models import Candle
    from trading.models import Decision, Order, Trade

    by_hand = Order.objects.filter(reason="manual").count()
    print(
        f"{Candle.objects.count()} candles stored, {Decision.objects.count()} decisions, "
        f"{Trade.objects.count()} trades, {by_hand} of them by hand"
    )


def _audit() -> None:
    from trading.books.audit import differences
    from trading.models import Account

    print(json.dumps(list(differences(Account.objects.all()))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--speed", type=float, default=0.05, help="seconds for each candle (default %(default)s)")
    parser.add_argument("--inside", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside[0], options.inside[1:])
        return
    if not run(options.minutes, options.clients, options.speed):
        sys.exit("it did not hold")


if __name__ == "__main__":
    main()
