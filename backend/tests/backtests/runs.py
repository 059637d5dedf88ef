"""Runs for tests: small ones on made candles, and the command in a folder of its own."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtests.document import Document
from backtests.options import Options
from backtests.runner import Result, run
from backtests.series import PriceHistory
from engine.orders import Instrument
from tests.markets import made_candles, random_walk

BACKEND = Path(__file__).resolve().parents[2]
COIN = Instrument("BTCUSDT")

Json = dict[str, Any]

# Not the defaults, which may change for reasons of trading.
KNOWN = {
    "symbol": "BTCUSDT",
    "interval": "1h",
    "model": "sma_cross",
    "stop_loss": 0.03,
    "take_profit": 0.06,
    "max_position": Decimal("0.25"),
}


def cent_candles(rows: int, seed: int = 0) -> pd.DataFrame:
    """Hourly candles whose prices have two places."""
    return made_candles(np.round(random_walk(rows, seed), 2), 5.0)


def options(**changes: Any) -> Options:
    return Options(**{**KNOWN, **changes})


def result(
    candles: pd.DataFrame | None = None, start: int = 0, instrument: Instrument = COIN, **changes: Any
) -> Result:
    candles = cent_candles(600) if candles is None else candles
    return run(options(**changes), [(PriceHistory(candles, start), instrument)])


def shared(*sources: tuple[str, pd.DataFrame], start: int = 0, **changes: Any) -> Result:
    """A run of several symbols, in the order of their names, on one account."""
    chosen = options(symbol=",".join(symbol for symbol, _ in sources), **changes)
    return run(chosen, [(PriceHistory(candles, start), Instrument(symbol)) for symbol, candles in sources])


def text_of(found: Result) -> str:
    return "".join(Document(found).chunks())


def document_of(found: Result) -> Json:
    return read(text_of(found))


def read(text: str) -> Json:
    """A document with Decimals where it has a point, as an independent reader sees it."""
    document: Json = json.loads(text, parse_float=Decimal)
    return document


def write_csv(folder: Path, candles: pd.DataFrame, name: str = "BTCUSDT_1h.csv") -> Path:
    path = folder / "data" / name
    path.parent.mkdir(exist_ok=True)
    candles.to_csv(path, index_label="timestamp", date_format="%Y-%m-%dT%H:%M:%SZ")
    return path


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(BACKEND / "manage.py"), "backtest_simulation", *arguments]


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "DATABASE_URL": f"sqlite:///{folder / 'test.sqlite3'}"}


def in_process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with a database of its own."""
    return subprocess.run(
        command(folder, *arguments),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def decimal_places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent
