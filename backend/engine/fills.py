"""What an order costs when it is filled: one fill model for back-tests and paper trading, in whole numbers.

Everything is rounded against the trader: a buyer pays up to the next tick and money step, a seller receives down to it.
"""

from engine.terms import Terms


def ceil_div(numerator: int, denominator: int) -> int:
    return -((-numerator) // denominator)


def buy_price(tick: int, t: Terms) -> int:
    """The requested price plus slippage, in ticks."""
    return ceil_div(tick * (t.slippage_d + t.slippage_n), t.slippage_d)


def sell_price(tick: int, t: Terms) -> int:
    """The requested price less slippage, in ticks, one at the least."""
    return max(tick * (t.slippage_d - t.slippage_n) // t.slippage_d, 1)


def amount_paid(price: int, lots: int, t: Terms) -> int:
    """In money steps, without the commission."""
    return ceil_div(price * lots * t.unit_n, t.unit_d * t.scale) * t.scale


def amount_received(price: int, lots: int, t: Terms) -> int:
    """In money steps, before the commission. Also what a position is worth at a price."""
    return price * lots * t.unit_n // (t.unit_d * t.scale) * t.scale


def commission(price: int, lots: int, t: Terms) -> int:
    """In money steps, on the amount before it is rounded."""
    return ceil_div(price * lots * t.unit_n * t.fee_n, t.unit_d * t.fee_d * t.scale) * t.scale
