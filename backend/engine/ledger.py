"""Book-keeping in Decimal: what an account owns, and how a fill changes it.

One identity holds after every fill, to the last digit: initial cash + realised profit = cash + entry cost of the open
positions. It can, because nothing is divided: a partial sale takes a rounded share of the entry cost, and the rest
stays with the position.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from msgspec import Struct

from engine.orders import ZERO, Action, Fill

# Entry prices are averaged when a position grows; no money is computed from them. A quotient may have any number of
# digits, so it is cut to what every database gives back: SQLite keeps 15 of them.
_ENTRY_PRICE_DIGITS, _ENTRY_PRICE_STEP = Context(prec=15, rounding=ROUND_HALF_EVEN), Decimal("1e-12")


class LedgerError(ValueError):
    """A fill that the book cannot have had: the gate was passed by."""


class Position(Struct, frozen=True, gc=False):
    """An open long position. `cost` is all that was paid for it, commissions included."""

    symbol: str
    quantity: Decimal
    cost: Decimal
    entry_price: Decimal
    opened_at: datetime

    def __post_init__(self) -> None:
        if not (self.quantity > 0 and self.cost >= 0 and self.entry_price > 0):
            raise ValueError(f"not a long position: {self}")


class Book(Struct, frozen=True, gc=False):
    """Free cash, profit realised so far (net of all commissions), commissions paid, and the open positions."""

    cash: Decimal
    realised: Decimal = ZERO
    commissions: Decimal = ZERO
    positions: Mapping[str, Position] = {}

    def __post_init__(self) -> None:
        if not self.cash >= 0:
            raise LedgerError(f"cash would be {self.cash}")

    def quantity(self, symbol: str) -> Decimal:
        position = self.positions.get(symbol)
        return position.quantity if position else ZERO

    @property
    def entry_cost(self) -> Decimal:
        """What was paid for the positions that are open."""
        return sum((position.cost for position in self.positions.values()), ZERO)

    def equity(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Cash and the positions at the given prices. Raises KeyError for a position without a price."""
        return self.cash + sum((held.quantity * marks[name] for name, held in self.positions.items()), ZERO)


def apply(book: Book, fill: Fill) -> Book:
    """The book after the fill. Raises LedgerError when cash or quantity would go below zero."""
    if fill.order.action is Action.BUY:
        return _bought(book, fill)
    return _sold(book, fill)


def _bought(book: Book, fill: Fill) -> Book:
    order, paid = fill.order, fill.amount + fill.commission
    held = book.positions.get(order.symbol)
    if held is None:
        position = Position(order.symbol, order.quantity, paid, fill.price, fill.time)
    else:
        quantity = held.quantity + order.quantity
        bought_for = held.entry_price * held.quantity + fill.price * order.quantity
        mean = _ENTRY_PRICE_DIGITS.divide(bought_for, quantity)
        entry_price = mean.quantize(_ENTRY_PRICE_STEP, ROUND_HALF_EVEN)
        position = Position(order.symbol, quantity, held.cost + paid, entry_price, held.opened_at)
    positions = {**book.positions, order.symbol: position}
    return Book(book.cash - paid, book.realised, book.commissions + fill.commission, positions)


def _sold(book: Book, fill: Fill) -> Book:
    order, received = fill.order, fill.amount - fill.commission
    held = book.positions.get(order.symbol)
    if held is None or held.quantity < order.quantity:
        raise LedgerError(f"cannot sell {order.quantity} {order.symbol}: {book.quantity(order.symbol)} held")
    positions = {name: position for name, position in book.positions.items() if name != order.symbol}
    cost = held.cost
    if order.quantity < held.quantity:
        cost = (held.cost * order.quantity / held.quantity).quantize(held.cost, ROUND_HALF_EVEN)
        rest = held.quantity - order.quantity
        positions[order.symbol] = Position(order.symbol, rest, held.cost - cost, held.entry_price, held.opened_at)
    profit = received - cost
    return Book(book.cash + received, book.realised + profit, book.commissions + fill.commission, positions)
