"""Book-keeping in whole numbers: what an account owns, and how a fill changes it.

One identity holds after every fill: initial cash + realised profit = cash + entry cost of the open positions. Nothing
is divided but the entry cost of a partial sale, of which the rounded share is removed and the rest stays.

The functions of the fold (this module, `fills`, `protect`, `risk`, `decide`, `account`, `history`) use only what both
Python and Numba can run: whole numbers, floats, named tuples and arrays.
"""

from typing import NamedTuple

from engine.fills import amount_received
from engine.protect import stop_level, target_level
from engine.terms import Terms


class Books(NamedTuple):
    """Money in money steps. `worth` is the value of the open positions at their last marks.

    `peak` is the highest equity at any valuation, `day` a UTC day counted from 1970, `day_start` the equity with which
    it began, and `entries` the number of BUYs filled in it.
    """

    cash: int
    worth: int
    realised: int
    commissions: int
    open_positions: int
    peak: int
    day: int
    day_start: int
    entries: int


class Holding(NamedTuple):
    """A long position in one instrument; all zeros (`FLAT`) for none.

    `cost` is what was paid for it, commissions included, in money steps; prices are in ticks. `mark` is the price of
    its last valuation, `high` the highest price that the trailing stop follows; a level of 0 is none.
    """

    lots: int
    cost: int
    mark: int
    stop: int
    target: int
    trail_n: int
    trail_d: int
    high: int


FLAT = Holding(0, 0, 0, 0, 0, 0, 1, 0)


def opened(cash: int) -> Books:
    """An account that has not traded yet."""
    return Books(cash, 0, 0, 0, 0, cash, -1, cash, 0)


def bought(a: Books, h: Holding, lots: int, price: int, amount: int, fee: int, t: Terms) -> tuple[Books, Holding]:
    """The books after a BUY; its levels replace those of a position that was open already."""
    is_new = h.lots == 0
    mark = price if is_new else h.mark
    held = Holding(
        h.lots + lots,
        h.cost + amount + fee,
        mark,
        stop_level(price, t),
        target_level(price, t),
        t.trail_n,
        t.trail_d,
        price if is_new else h.high,
    )
    worth = a.worth + amount_received(mark, held.lots, t) - amount_received(mark, h.lots, t)
    positions = a.open_positions + 1 if is_new else a.open_positions
    cash = a.cash - amount - fee
    return (
        Books(
            cash, worth, a.realised, a.commissions + fee, positions, a.peak, a.day, a.day_start, a.entries + 1
        ),
        held,
    )  # fmt: skip


def sold(
    a: Books, h: Holding, lots: int, amount: int, fee: int, t: Terms
) -> tuple[Books, Holding, int, int]:  # fmt: skip
    """The books after a SELL of at most what is held; its net profit, and the entry cost of what was sold."""
    rest = h.lots - lots
    cost = h.cost if rest == 0 else _rounded_share(h.cost * lots, h.lots)
    profit = amount - fee - cost
    worth = a.worth + amount_received(h.mark, rest, t) - amount_received(h.mark, h.lots, t)
    positions = a.open_positions - 1 if rest == 0 else a.open_positions
    after = Books(
        a.cash + amount - fee,
        worth,
        a.realised + profit,
        a.commissions + fee,
        positions,
        a.peak,
        a.day,
        a.day_start,
        a.entries,
    )
    if rest == 0:
        return after, Holding(0, 0, 0, 0, 0, 0, 1, 0), profit, cost
    return after, Holding(rest, h.cost - cost, h.mark, h.stop, h.target, h.trail_n, h.trail_d, h.high), profit, cost


def marked(a: Books, h: Holding, price: int, t: Terms) -> tuple[Books, Holding]:
    """The account valued with this instrument at a price and the others at their last marks."""
    worth = a.worth + amount_received(price, h.lots, t) - amount_received(h.mark, h.lots, t)
    peak = max(a.peak, a.cash + worth)
    valued = Books(
        a.cash, worth, a.realised, a.commissions, a.open_positions, peak, a.day, a.day_start, a.entries
    )  # fmt: skip
    if h.lots == 0:
        return valued, h
    return valued, Holding(h.lots, h.cost, price, h.stop, h.target, h.trail_n, h.trail_d, h.high)


def _rounded_share(numerator: int, denominator: int) -> int:
    """The nearest whole number, half to even."""
    whole, rest = numerator // denominator, numerator % denominator
    if 2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1):
        return whole + 1
    return whole
