# ruff: noqa: E402  (Django has to be set up first)
"""Photon in one process: called as `photon.py warm CASE CSV ROUNDS`, prints one JSON object.

It calls what `backtest_simulation` calls, on the database that DATABASE_URL names, and has to be called in the folder
whose `data` holds the CSV.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

import pandas as pd
from django.utils import timezone

from backtests.document import Document
from backtests.options import Options, parse
from backtests.runner import run
from backtests.series import PriceHistory, load
from benchmarks.engines.common import Case, Laps, Outcome, play
from benchmarks.sma_cross import command_options
from engine.orders import Instrument
from market.instruments import inferred_instrument


@dataclass(frozen=True)
class Engine:
    options: Options
    candles: pd.DataFrame
    start: int
    instrument: Instrument

    @classmethod
    def load(cls, path: Path, case: Case) -> "Engine":
        texts = {name.replace("-", "_"): text for name, text in command_options(case).items()}
        symbol, interval = texts.pop("symbol"), texts.pop("interval")
        options = parse(texts, symbol=symbol, interval=interval)
        (history,) = load(options, timezone.now())
        return cls(options, history.candles, history.start, inferred_instrument(symbol, history.known))

    def round(self, laps: Laps) -> Outcome:
        history = PriceHistory(self.candles.copy(), self.start)
        laps.begin()
        document = Document(run(self.options, [(history, self.instrument)]))
        laps.done("indicators to statistics")
        summary, trades = document.summary, document.trades_text
        document.thinned_equity()
        laps.done("books")
        entries = trades.count('"action":"BUY"')
        return Outcome(entries, summary["metrics"]["closed_trades"], float(summary["final_equity"]))


if __name__ == "__main__":
    play(Engine.load, sys.argv[1:])
