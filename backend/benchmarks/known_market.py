"""Markets of made candles, accounts that trade them, and a predictor with known answers, in a database of their own."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from engine.features import FEATURES
from engine.orders import Action
from engine.snapshot import Snapshot

if TYPE_CHECKING:
    from trading.models import Account
    from trading.selectors.markets import Market

INTERVAL, MINUTE = "1m", timedelta(minutes=1)
SURE = 0.8
OWN_USERS = "@benchmark.invalid"
CASH = Decimal(1_000_000)
FREE: dict[str, Any] = {"stop_loss": None, "take_profit": None, "max_daily_loss": None, "max_drawdown": None}

Says = Callable[[Snapshot], Action]


class BenchmarkError(Exception):
    """It cannot be measured here."""


@dataclass(frozen=True, slots=True)
class Known:
    """A predictor whose answers are known: what `says` names has the probability SURE."""

    says: Says

    def answer(self, snapshot: Snapshot, name: str) -> Any:
        from learning.serving import Answer

        probabilities = np.full(3, (1.0 - SURE) / 2)
        probabilities[self.says(snapshot)] = SURE
        return Answer(probabilities, "random_forest", "known", dict.fromkeys(FEATURES, 0.0))


def minute_of(snapshot: Snapshot) -> int:
    return int(snapshot.open_time.timestamp()) // 60


def made_candles(rows: int, seed: int = 1) -> pd.DataFrame:
    """A random walk of one-minute candles around 100, so calm that no protective level is near."""
    draws = np.random.default_rng(seed).normal(0, 2e-4, rows)
    closes = np.round(100 * np.exp(np.cumsum(draws)), 2)
    opens = np.concatenate([[100.0], closes[:-1]])
    columns = {
        "open": opens,
        "high": np.maximum(opens, closes) + 0.01,
        "low": np.minimum(opens, closes) - 0.01,
        "close": closes,
        "volume": np.random.default_rng(seed + 1).uniform(1, 2, rows).round(3),
    }
    return pd.DataFrame(columns, index=pd.date_range("2026-01-05", periods=rows, freq="min", tz="UTC"))


def empty_database() -> None:
    """Migrated and emptied. Refuses a database with users of anybody else."""
    from django.core.management import call_command

    from accounts.models import User

    call_command("migrate", verbosity=0)
    if User.objects.exclude(email__endswith=OWN_USERS).exists():
        raise BenchmarkError("the database is in use by others: name an empty one")
    call_command("flush", verbosity=0, interactive=False)


def made_markets(count: int) -> "list[Market]":
    from market.models import Symbol
    from trading.selectors.markets import Market

    tick = Decimal("0.01")
    rows = [Symbol(symbol=f"M{number:03}USDT", kind="crypto", price_tick=tick) for number in range(count)]
    return [Market(row, INTERVAL) for row in Symbol.objects.bulk_create(rows)]


def made_accounts(count: int, follows: "Sequence[Market]", prefix: str = "a", **settings: Any) -> "list[Account]":
    """Running accounts that trade all of these markets."""
    from accounts.models import User
    from trading.books.accounts import follow, open_account, start_agents
    from trading.models import TradingSettings

    accounts = []
    for number in range(count):
        user = User.objects.create(email=f"{prefix}{number}{OWN_USERS}", password="!")
        account = open_account(user, CASH)
        account.follows.all().delete()
        follow(account, [market.symbol for market in follows])
        start_agents(account)
        accounts.append(account)
    chosen = {**FREE, "interval": INTERVAL, **settings}
    TradingSettings.objects.filter(account__in=accounts).update(**chosen)
    return accounts


def audited() -> None:
    """Raises BenchmarkError where the books do not add up."""
    from trading.books.audit import differences
    from trading.models import Account

    if found := list(differences(Account.objects.all())):
        raise BenchmarkError("\n".join(found[:10]))


def machine() -> str:
    """How busy the machine is that measures: figures of a busy one say little."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"load averages {load} on {os.cpu_count()} processors; {steal():.0f} % of their time stolen since the start"


def steal() -> float:
    """The percentage of processor time that the host gave to others since it was started; 0 where it is not told."""
    told = Path("/proc/stat")
    if not told.exists():
        return 0.0
    ticks = [int(word) for word in told.read_text().splitlines()[0].split()[1:9]]
    return 100.0 * ticks[7] / sum(ticks)
