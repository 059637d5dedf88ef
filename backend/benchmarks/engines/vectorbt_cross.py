"""The same in vectorbt: called as `vectorbt_cross.py cold|warm CASE CSV [ROUNDS]`, prints one JSON object."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd
import vectorbt as vbt  # type: ignore[import-not-found]  # of the peers' environment

from benchmarks.engines.common import FAST, FEE, LEAST_NOTIONAL, SLIPPAGE, SLOW, Case, Laps, Outcome, play


@dataclass(frozen=True)
class Engine:
    candles: pd.DataFrame
    case: Case

    @classmethod
    def load(cls, path: Path, case: Case) -> "Engine":
        frame = pd.read_csv(path, index_col="timestamp", parse_dates=True)
        # With a time zone vectorbt makes a Python object of every time, over and over, and needs 80 times as long.
        return cls(frame.tz_localize(None), case)

    def round(self, laps: Laps) -> Outcome:
        # New series for each round: vectorbt remembers what it computed for an object.
        candles = self.candles.copy()
        close = candles["close"]
        laps.begin()
        fast, slow = vbt.MA.run(close, FAST), vbt.MA.run(close, SLOW)
        laps.done("indicators")
        # A signal is filled at the next open, as in the other engines.
        entries = fast.ma_above(slow).vbt.signals.fshift(1)
        exits = fast.ma_below(slow).vbt.signals.fshift(1)
        laps.done("signals")
        portfolio = vbt.Portfolio.from_signals(
            close, entries, exits, price=candles["open"], fees=float(FEE), slippage=float(SLIPPAGE),
            init_cash=float(self.case.cash), freq="1min", **self.rules(candles, entries, exits),
        )  # fmt: skip
        laps.done("simulation")
        stats = portfolio.stats()
        laps.done("statistics")
        return Outcome(int(stats["Total Trades"]), int(stats["Total Closed Trades"]), float(stats["End Value"]))

    def rules(self, candles: pd.DataFrame, entries: pd.Series, exits: pd.Series) -> dict[str, Any]:
        if self.case.quantity is not None:
            return {"size": float(self.case.quantity)}
        return {
            "size": self.case.fraction,
            "size_type": "percent",
            # A least size would hold up exits too.
            "min_size": (LEAST_NOTIONAL / candles["open"]).where(entries, 0.0),
            "open": candles["open"],
            # A position that is sold at the open cannot reach a level afterwards.
            "high": candles["high"].mask(exits, candles["open"]),
            "low": candles["low"].mask(exits, candles["open"]),
            "sl_stop": float(self.case.stop_loss),
            "tp_stop": float(self.case.take_profit),
            "stop_entry_price": "fillprice",
            "stop_exit_price": "stopmarket",
        }


if __name__ == "__main__":
    play(Engine.load, sys.argv[1:])
