"""The same in backtesting.py: called as `backtesting_cross.py cold|warm CSV [ROUNDS]`, prints one JSON object."""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd
from backtesting import Strategy  # type: ignore[import-not-found]  # of the peers' environment
from backtesting.lib import FractionalBacktest, crossover  # type: ignore[import-not-found]  # of the peers' environment

from benchmarks.engines.common import CASH, FAST, FEE, QUANTITY, SLIPPAGE, SLOW, Laps, Outcome, play


def mean(values: pd.Series, length: int) -> pd.Series:
    return pd.Series(values).rolling(length).mean()


class Cross(Strategy):
    def init(self) -> None:
        self.fast, self.slow = self.I(mean, self.data.Close, FAST), self.I(mean, self.data.Close, SLOW)

    def next(self) -> None:
        if crossover(self.fast, self.slow):
            # One unit is QUANTITY coins: the engine trades in whole units.
            self.buy(size=1)
        elif crossover(self.slow, self.fast):
            self.position.close()


@dataclass(frozen=True)
class Engine:
    candles: pd.DataFrame

    @classmethod
    def load(cls, path: Path) -> "Engine":
        frame = pd.read_csv(path, index_col="timestamp", parse_dates=True)
        return cls(frame.tz_localize(None).rename(columns=str.capitalize))

    def round(self, laps: Laps) -> Outcome:
        candles = self.candles.copy()
        laps.begin()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            test = FractionalBacktest(
                candles, Cross, fractional_unit=float(QUANTITY), cash=float(CASH), commission=float(FEE),
                spread=float(SLIPPAGE),
            )  # fmt: skip
            stats = test.run()
        laps.done("all")
        closed = int(stats["# Trades"])
        return Outcome(closed + len(stats["_strategy"].trades), closed, float(stats["Equity Final [$]"]))


if __name__ == "__main__":
    play(Engine.load, sys.argv[1:])
