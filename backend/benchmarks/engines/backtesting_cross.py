"""The same in backtesting.py: called as `backtesting_cross.py cold|warm CASE CSV [ROUNDS]`, prints one JSON object."""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd
from backtesting import Strategy  # type: ignore[import-not-found]  # of the peers' environment
from backtesting.lib import FractionalBacktest  # type: ignore[import-not-found]  # of the peers' environment

from benchmarks.engines.common import FAST, FEE, LEAST_NOTIONAL, LOT, SLIPPAGE, SLOW, Case, Laps, Outcome, play


def mean(values: pd.Series, length: int) -> pd.Series:
    return pd.Series(values).rolling(length).mean()


class Cross(Strategy):
    def init(self) -> None:
        self.fast, self.slow = self.I(mean, self.data.Close, FAST), self.I(mean, self.data.Close, SLOW)

    def next(self) -> None:
        fast, slow = self.fast[-1], self.slow[-1]
        if fast > slow:
            if not self.position:
                self.enter()
        elif fast < slow and self.position:
            self.position.close()


class Fixed(Cross):
    def enter(self) -> None:
        # One unit is the whole quantity: the engine trades in whole units.
        self.buy(size=1)


class ByEquity(Cross):
    fraction = stop_loss = take_profit = 0.0

    def enter(self) -> None:
        if self.equity * self.fraction < LEAST_NOTIONAL:
            return
        # The price of the fill is not known yet; this is the nearest to it.
        price = self.data.Close[-1] * (1 + float(SLIPPAGE))
        self.buy(size=self.fraction, sl=price * (1 - self.stop_loss), tp=price * (1 + self.take_profit))


@dataclass(frozen=True)
class Engine:
    candles: pd.DataFrame
    case: Case

    @classmethod
    def load(cls, path: Path, case: Case) -> "Engine":
        frame = pd.read_csv(path, index_col="timestamp", parse_dates=True)
        return cls(frame.tz_localize(None).rename(columns=str.capitalize), case)

    def round(self, laps: Laps) -> Outcome:
        candles, case = self.candles.copy(), self.case
        fixed = case.quantity is not None
        chosen = {} if fixed else {
            "fraction": case.fraction, "stop_loss": float(case.stop_loss), "take_profit": float(case.take_profit),
        }  # fmt: skip
        laps.begin()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            test = FractionalBacktest(
                candles, Fixed if fixed else ByEquity, fractional_unit=float(case.quantity or LOT),
                # Its spread moves the price of entries alone, so that slippage is a part of the commission.
                cash=float(case.cash), commission=float(FEE) + float(SLIPPAGE),
            )  # fmt: skip
            stats = test.run(**chosen)
        laps.done("all")
        closed = int(stats["# Trades"])
        return Outcome(closed + len(stats["_strategy"].trades), closed, float(stats["Equity Final [$]"]))


if __name__ == "__main__":
    play(Engine.load, sys.argv[1:])
