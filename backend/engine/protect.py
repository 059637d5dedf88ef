"""Protective levels in ticks: stop-loss, take-profit and trailing stop.

A candle gives four prices and not their order. Where that is ambiguous it is decided against the trader: the stop
counts before the target, and a trailing stop follows the highs of the candles before, not the high of its own candle.
Levels are rounded to the worse tick: stops down, targets up. A candle that opens beyond a level fills at its open. A
stop that is reached inside a candle fills at its level, or, as the pessimistic choice, at the low of the candle.
"""

from engine.fills import ceil_div
from engine.orders import SIGNAL, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP
from engine.terms import Terms


def stop_level(price: int, t: Terms) -> int:
    """The stop-loss of an entry at this price; 0 for none."""
    return price * (t.stop_d - t.stop_n) // t.stop_d if t.stop_n > 0 else 0


def target_level(price: int, t: Terms) -> int:
    """The take-profit of an entry at this price; 0 for none."""
    return ceil_div(price * (t.target_d + t.target_n), t.target_d) if t.target_n > 0 else 0


def trailing_level(high: int, trail_n: int, trail_d: int) -> int:
    """The trailing stop behind the highest price since the entry, which starts at the entry's own price; 0 for none."""
    return high * (trail_d - trail_n) // trail_d if trail_n > 0 else 0


def first_exit(
    stop: int, target: int, trailing: int, open_: int, high: int, low: int, stop_fills_at_low: int
) -> tuple[int, int]:
    """The price in ticks, before slippage, and the reason of the exit in one candle; a price of 0 for no exit."""
    nearest = max(stop, trailing)
    if target > 0 and open_ >= target and open_ > nearest:
        return open_, TAKE_PROFIT
    if low <= nearest:
        reason = TRAILING_STOP if trailing > stop else STOP_LOSS
        if open_ <= nearest:
            return open_, reason
        return (low if stop_fills_at_low else nearest), reason
    if target > 0 and high >= target:
        return target, TAKE_PROFIT
    return 0, SIGNAL
