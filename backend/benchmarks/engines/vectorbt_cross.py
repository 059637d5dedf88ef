"""The same in vectorbt: called as `vectorbt_cross.py cold|warm CSV [ROUNDS]`, prints one JSON object."""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd
import vectorbt as vbt  # type: ignore[import-not-found]  # of the peers' environment

from benchmarks.engines.common import CASH, FAST, FEE, QUANTITY, SLIPPAGE, SLOW, Laps, Outcome, play


@dataclass(frozen=True)
class Engine:
    candles: pd.DataFrame

    @classmethod
    def load(cls, path: Path) -> "Engine":
        frame = pd.read_csv(path, index_col="timestamp", parse_dates=True)
        # With a time zone vectorbt makes a Python object of every time, over and over, and needs 80 times as long.
        return cls(frame.tz_localize(None))

    def round(self, laps: Laps) -> Outcome:
        # New series for each round: vectorbt remembers what it computed for an object.
        opened, close = self.candles["open"].copy(), self.candles["close"].copy()
        laps.begin()
        fast, slow = vbt.MA.run(close, FAST), vbt.MA.run(close, SLOW)
        laps.done("indicators")
        # A signal is filled at the next open, as in the other engines.
        entries = fast.ma_crossed_above(slow).vbt.signals.fshift(1)
        exits = fast.ma_crossed_below(slow).vbt.signals.fshift(1)
        laps.done("signals")
        portfolio = vbt.Portfolio.from_signals(
            close, entries, exits, price=opened, size=float(QUANTITY), fees=float(FEE), slippage=float(SLIPPAGE),
            init_cash=float(CASH), freq="1min",
        )  # fmt: skip
        laps.done("simulation")
        stats = portfolio.stats()
        laps.done("statistics")
        return Outcome(int(stats["Total Trades"]), int(stats["Total Closed Trades"]), float(stats["End Value"]))


if __name__ == "__main__":
    play(Engine.load, sys.argv[1:])
