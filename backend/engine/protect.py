"""Protective exits against one candle after the other: stop-loss, take-profit and trailing stop.

A candle tells its four prices, not their order. Where that is ambiguous it is decided against the trader: the stop
counts before the target, and a trailing stop follows the highs of the candles before, not the high of its own candle.
A candle that opens beyond a level is filled at its open.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from engine.decide import Policy
from engine.indicators import Array
from engine.orders import Instrument, Reason, exact


@dataclass(frozen=True, slots=True)
class Guard:
    """The levels that protect a position; `high` is the highest price that the trailing stop follows."""

    stop: Decimal | None
    target: Decimal | None
    trailing: float | None
    high: float

    def stop_level(self) -> float | None:
        """The price at which the position is sold at a loss or behind its high, whichever is nearer."""
        levels = [] if self.stop is None else [float(self.stop)]
        if self.trailing is not None:
            levels.append(self.high * (1.0 - self.trailing))
        return max(levels, default=None)


class Exit(NamedTuple):
    """The first candle, counted from 0, in which a level was reached; the price before slippage, and which level."""

    candle: int
    price: float
    reason: Reason


def guard(entry_price: Decimal, policy: Policy, instrument: Instrument) -> Guard | None:
    """The levels of a policy around the price of an entry, or None when it has none."""
    if not policy.protects:
        return None
    stop = target = None
    if policy.stop_loss is not None:
        stop = instrument.tick_down(entry_price * (1 - exact(policy.stop_loss)))
    if policy.take_profit is not None:
        target = instrument.tick_up(entry_price * (1 + exact(policy.take_profit)))
    return Guard(stop, target, policy.trailing_stop, float(entry_price))


def first_exit(guard: Guard, opens: Array, highs: Array, lows: Array) -> Exit | None:
    """The first exit in a run of candles, the first of which may be the one of the entry."""
    stops = _stop_levels(guard, highs)
    targets = np.inf if guard.target is None else float(guard.target)
    reached = (lows <= stops) | (highs >= targets)
    candle = int(np.argmax(reached)) if reached.any() else -1
    if candle < 0:
        return None
    stop, open_ = float(stops[candle]), float(opens[candle])
    if open_ > stop and open_ >= targets:
        return Exit(candle, open_, Reason.TAKE_PROFIT)
    if lows[candle] <= stop:
        trails = guard.stop is None or stop > float(guard.stop)
        return Exit(candle, min(open_, stop), Reason.TRAILING_STOP if trails else Reason.STOP_LOSS)
    return Exit(candle, targets, Reason.TAKE_PROFIT)


def followed(guard: Guard, highs: Array) -> Guard:
    """The guard after candles that did not reach it."""
    if guard.trailing is None or highs.size == 0:
        return guard
    return replace(guard, high=max(guard.high, float(highs.max())))


def _stop_levels(guard: Guard, highs: Array) -> Array:
    """The stop in force during each candle."""
    fixed = -np.inf if guard.stop is None else float(guard.stop)
    if guard.trailing is None:
        return np.full(highs.size, fixed)
    before = np.maximum.accumulate(np.concatenate(([guard.high], highs[:-1])))
    return np.maximum(before * (1.0 - guard.trailing), fixed)
