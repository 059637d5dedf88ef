"""The order of events of an account with any number of instruments: the one place where it is written.

For each instrument, candle by candle:
1. `at_open`: the pending decision meets the first price after it, passes the gate or is refused.
2. `within`: a protective level may be reached between the open and the close.
3. `at_close`: the account is valued at the close.
4. `decide.proposed_lots`: the next decision asks for a quantity.

Agents call these functions as they are, message by message; `history` calls the same ones, plain or compiled.
"""

from typing import NamedTuple

from engine.fills import amount_paid, amount_received, buy_price, commission, sell_price
from engine.ledger import Books, Holding, bought, marked, sold
from engine.orders import (
    BUY,
    EXECUTED,
    HOLD,
    NONE,
    REFUSED_EXCEEDS_POSITION,
    REFUSED_HOLD,
    REFUSED_NO_POSITION,
    REFUSED_POSITION_OPEN,
    REFUSED_QUANTITY_TOO_SMALL,
    SELL,
    SIGNAL,
)
from engine.protect import first_exit, trailing_level
from engine.risk import entry_refusal
from engine.terms import Terms


class Event(NamedTuple):
    """What happened: EXECUTED with a fill, a refusal by its number in OUTCOMES, or NONE.

    `requested` and `price` are in ticks, before and after slippage; amounts in money steps. `profit` and `cost` (the
    entry cost of what was sold) are 0 for a BUY.
    """

    outcome: int
    action: int
    reason: int
    lots: int
    requested: int
    price: int
    amount: int
    commission: int
    profit: int
    cost: int


def without_fill(outcome: int) -> Event:
    return Event(outcome, HOLD, SIGNAL, 0, 0, 0, 0, 0, 0, 0)


def begin_day(a: Books, day: int) -> Books:
    """Resets the counters of the day when the market enters a later one."""
    if day <= a.day:
        return a
    return Books(
        a.cash, a.worth, a.realised, a.commissions, a.open_positions, a.peak, day, a.cash + a.worth, 0
    )  # fmt: skip


def at_open(
    a: Books, h: Holding, action: int, lots: int, tick: int, day: int, age: float, t: Terms
) -> tuple[Books, Holding, Event]:
    """A decision meets the first price after it; `age` is the time since the close of its candle, in seconds."""
    a = begin_day(a, day)
    if action == HOLD:
        return a, h, without_fill(REFUSED_HOLD)
    if action == SELL:
        if h.lots == 0:
            return a, h, without_fill(REFUSED_NO_POSITION)
        if lots > h.lots:
            return a, h, without_fill(REFUSED_EXCEEDS_POSITION)
        if lots == 0:
            return a, h, without_fill(REFUSED_QUANTITY_TOO_SMALL)
        return sell(a, h, lots, tick, SIGNAL, t)
    if lots == 0 and h.lots > 0:
        return a, h, without_fill(REFUSED_POSITION_OPEN)
    refusal = entry_refusal(a, h, lots, tick, age, t)
    if refusal != NONE:
        return a, h, without_fill(refusal)
    return buy(a, h, lots, tick, t)


def within(a: Books, h: Holding, open_: int, high: int, low: int, day: int, t: Terms) -> tuple[Books, Holding, Event]:
    """The position is sold where the candle reached one of its levels; else its trailing stop follows the high."""
    a = begin_day(a, day)
    if h.lots == 0:
        return a, h, without_fill(NONE)
    trailing = trailing_level(h.high, h.trail_n, h.trail_d)
    tick, reason = first_exit(h.stop, h.target, trailing, open_, high, low, t.stop_fills_at_low)
    if tick > 0:
        return sell(a, h, h.lots, tick, reason, t)
    if h.trail_n > 0 and high > h.high:
        h = Holding(h.lots, h.cost, h.mark, h.stop, h.target, h.trail_n, h.trail_d, high)
    return a, h, without_fill(NONE)


def at_close(a: Books, h: Holding, close: int, t: Terms) -> tuple[Books, Holding]:
    """The account valued at the close, and its peak."""
    return marked(a, h, close, t)


def candle(
    a: Books, h: Holding, open_: int, high: int, low: int, close: int, day: int, t: Terms
) -> tuple[Books, Holding, Event]:
    """Steps 2 and 3 of one candle: the account meets its levels, and is valued at its close."""
    a, h, event = within(a, h, open_, high, low, day, t)
    a, h = at_close(a, h, close, t)
    return a, h, event


def buy(a: Books, h: Holding, lots: int, tick: int, t: Terms) -> tuple[Books, Holding, Event]:
    """An entry that has passed the gate."""
    price = buy_price(tick, t)
    amount, fee = amount_paid(price, lots, t), commission(price, lots, t)
    a, h = bought(a, h, lots, price, amount, fee, t)
    return a, h, Event(EXECUTED, BUY, SIGNAL, lots, tick, price, amount, fee, 0, 0)


def sell(a: Books, h: Holding, lots: int, tick: int, reason: int, t: Terms) -> tuple[Books, Holding, Event]:
    """An exit of at most what is held."""
    price = sell_price(tick, t)
    amount = amount_received(price, lots, t)
    # A tiny amount can be below its commission, which is rounded up: cash must not fall below zero.
    fee = min(commission(price, lots, t), a.cash + amount)
    a, h, profit, cost = sold(a, h, lots, amount, fee, t)
    return a, h, Event(EXECUTED, SELL, reason, lots, tick, price, amount, fee, profit, cost)


def opening_order(time: float, action: int, symbol: str) -> tuple[float, bool, str]:
    """The sort key of decisions that meet a price: by its time, SELLs before BUYs, then by symbol."""
    return time, action != SELL, symbol
