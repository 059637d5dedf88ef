# ruff: noqa: E402  (Django has to be set up first)
"""The crossover in Photon: called as `photon.py cold|warm CSV [ROUNDS]`, prints one JSON object."""

import os
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

import numpy as np
import pandas as pd
from engine.jump import Replay, replay_actions

from benchmarks.engines.common import CASH, FAST, FEE, QUANTITY, SLIPPAGE, SLOW, Laps, Outcome, play
from engine.history import Actions
from engine.indicators import Array, deviation, sma
from engine.metrics import metrics
from engine.orders import NO_DECISION, Action, Instrument
from engine.terms import Costs, Limits, Policy, Rules
from market.sources import csv_file

INTERVAL, NOISE = "1m", 20


@dataclass(frozen=True)
class Engine:
    """One read of the candles, any number of rounds over them."""

    candles: pd.DataFrame

    @classmethod
    def load(cls, path: Path) -> "Engine":
        return cls(csv_file.read(path, INTERVAL))

    def round(self, laps: Laps) -> Outcome:
        candles = self.candles.copy()
        laps.begin()
        close = candles["close"].to_numpy()
        fast, slow, noise = sma(close, FAST), sma(close, SLOW), deviation(close, NOISE)
        laps.done("indicators")
        actions = chosen(fast, slow)
        laps.done("signals")
        played = replay_actions(candles, actions, np.ones(close.size), noise, INTERVAL, rules(), Decimal(CASH))
        laps.done("simulation")
        equity = played.holdings.equity_array()
        figures = metrics(equity, played.holdings.quantity_array(), played.profits, elapsed(candles))
        laps.done("statistics")
        entries = written_up(played)
        laps.done("books")
        return Outcome(entries, figures.closed_trades, float(equity[-1]))


def rules() -> Rules:
    """No protective levels, no limit but cash: what the other engines have too. The gate runs all its checks."""
    policy = Policy(stop_loss=None, take_profit=None, quantity=Decimal(QUANTITY))
    costs = Costs(fee_rate=Decimal(FEE), slippage_rate=Decimal(SLIPPAGE))
    return Rules(Instrument("BENCHUSDT"), costs, policy, Limits(max_position=Decimal(1)))


def chosen(fast: Array, slow: Array) -> Actions:
    """BUY while the fast average is above the slow one, SELL while below."""
    actions = np.full(fast.size, Action.HOLD, dtype=np.int8)
    actions[fast > slow] = Action.BUY
    actions[fast < slow] = Action.SELL
    actions[np.isnan(slow)] = NO_DECISION
    return actions


def written_up(played: Replay) -> int:
    """The entries, counted in the ledger's own list of trades."""
    return sum(trade.profit is None for trade in played.trades)


def elapsed(candles: pd.DataFrame) -> pd.Timedelta:
    return candles.index[-1] - candles.index[0]


if __name__ == "__main__":
    play(Engine.load, sys.argv[1:])
