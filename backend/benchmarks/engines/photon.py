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

from backtests import services
from backtests.document import Document
from backtests.options import Options, parse
from benchmarks.engines.common import Case, Laps, Outcome, play
from benchmarks.sma_cross import command_options, outcome


@dataclass(frozen=True)
class Engine:
    options: Options

    @classmethod
    def load(cls, path: Path, case: Case) -> "Engine":
        texts = {name.replace("-", "_"): text for name, text in command_options(case).items()}
        symbol, interval = texts.pop("symbol"), texts.pop("interval")
        return cls(parse(texts, symbol=symbol, interval=interval))

    def round(self, laps: Laps) -> Outcome:
        series = services.series_for(self.options)
        laps.begin()
        document = Document(services.simulate(self.options, series))
        laps.done("simulation and statistics")
        summary, trades = document.summary, document.trades
        document.thinned_equity()
        laps.done("books")
        return outcome({**summary, "trades": trades})


if __name__ == "__main__":
    play(Engine.load, sys.argv[1:])
