"""The pre-trade gate: every order passes here, and here floats become Decimals on the instrument's grid.

A check looks at one rule and returns a refusal, or nothing. Entries have to pass them all; exits lower the risk of the
account and are never held up by a limit or by the kill switch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from msgspec import Struct

from engine.decide import Decision, Policy
from engine.fills import cash_bound
from engine.ledger import Book, Position
from engine.orders import Action, Code, Costs, Instrument, Order, Quote, Reason, Refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """What an account may not do, as fractions of equity where not said otherwise; None means no such limit."""

    max_position: Decimal = Decimal("0.5")
    max_daily_loss: Decimal | None = None
    max_drawdown: Decimal | None = None
    max_entries_per_day: int | None = None
    max_open_positions: int | None = None
    max_quote_age_seconds: float | None = None
    kill_switch: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.max_position <= 1:
            raise ValueError(f"max_position must be above 0 and at most 1, not {self.max_position}")
        for name in ("max_daily_loss", "max_drawdown"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {value}")
        for name in ("max_entries_per_day", "max_open_positions", "max_quote_age_seconds"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must not be negative, not {value}")


@dataclass(frozen=True)
class Rules:
    """Everything that turns decisions into trades for one account in one instrument."""

    instrument: Instrument
    costs: Costs = field(default_factory=Costs)
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)


class Standing(Struct, frozen=True, gc=False):
    """How an account stands at the moment of an order; days are UTC days."""

    equity: Decimal
    peak_equity: Decimal
    day_start_equity: Decimal
    entries_today: int = 0


def gate(decision: Decision, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Order | Refusal:
    """The order that the decision leads to at this quote, or the reason why there is none."""
    if decision.action is Action.HOLD:
        return Refusal(Code.HOLD, "HOLD asks for no trade")
    held = book.positions.get(decision.symbol)
    if decision.action is Action.SELL:
        return _exit(decision, held, quote, rules.instrument)
    if held is not None and decision.quantity == 0:
        return Refusal(Code.POSITION_OPEN, f"a position of {held.quantity} {decision.symbol} is open already")
    return entry_order(decision.symbol, decision.quantity, book, standing, quote, rules)


def entry_order(
    symbol: str, quantity: float, book: Book, standing: Standing, quote: Quote, rules: Rules
) -> Order | Refusal:
    """The order that buys so much at this quote, or the first limit that stands in its way."""
    lots = rules.instrument.quantity(quantity)
    if lots == 0:
        return _too_small(quantity, rules.instrument)
    order = Order(symbol, Action.BUY, lots, quote.price)
    for check in ENTRY_CHECKS:
        refusal = check(order, book, standing, quote, rules)
        if refusal is not None:
            return refusal
    return order


def exit_order(symbol: str, quantity: Decimal, price: Decimal, reason: Reason) -> Order:
    """The order that closes a whole position. No limit holds it up."""
    return Order(symbol, Action.SELL, quantity, price, reason)


def _exit(decision: Decision, held: Position | None, quote: Quote, instrument: Instrument) -> Order | Refusal:
    if held is None:
        return Refusal(Code.NO_POSITION, f"there is no {decision.symbol} to sell")
    # The float of a long quantity may have lost its last digits: what means "all" has to stay all.
    if decision.quantity == float(held.quantity):
        return exit_order(held.symbol, held.quantity, quote.price, Reason.SIGNAL)
    quantity = instrument.quantity(decision.quantity)
    if quantity > held.quantity:
        return Refusal(Code.EXCEEDS_POSITION, f"cannot sell {quantity} {decision.symbol}: {held.quantity} held")
    if quantity == 0:
        return _too_small(decision.quantity, instrument)
    return Order(decision.symbol, Action.SELL, quantity, quote.price)


def _too_small(quantity: float, instrument: Instrument) -> Refusal:
    return Refusal(
        Code.QUANTITY_TOO_SMALL, f"{quantity:.12g} {instrument.symbol} is below one lot of {instrument.lot_step}"
    )


def _kill_switch(order: Order, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Refusal | None:
    if rules.limits.kill_switch:
        return Refusal(Code.KILL_SWITCH, "the kill switch is on: no entries")
    return None


def _stale_quote(order: Order, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Refusal | None:
    limit = rules.limits.max_quote_age_seconds
    if limit is not None and quote.age_seconds > limit:
        return Refusal(Code.STALE_QUOTE, f"the market data are {quote.age_seconds:.0f} s old; at most {limit:.0f} s")
    return None


def _drawdown(order: Order, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Refusal | None:
    limit = rules.limits.max_drawdown
    if limit is not None and standing.equity < standing.peak_equity * (1 - limit):
        return Refusal(
            Code.DRAWDOWN_LIMIT, f"equity {standing.equity} is {limit:%} or more below {standing.peak_equity}"
        )
    return None


def _daily_loss(order: Order, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Refusal | None:
    limit = rules.limits.max_daily_loss
    if limit is not None and standing.equity < standing.day_start_equity * (1 - limit):
        return Refusal(Code.DAILY_LOSS_LIMIT, f"{limit:%} or more of {standing.day_start_equity} was lost today")
    return None


def _entries_per_day(order: Order, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Refusal | None:
    limit = rules.limits.max_entries_per_day
    if limit is not None and standing.entries_today >= limit:
        return Refusal(Code.ENTRIES_PER_DAY, f"{standing.entries_today} entries today; at most {limit}")
    return None


def _open_positions(order: Order, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Refusal | None:
    limit = rules.limits.max_open_positions
    if limit is not None and order.symbol not in book.positions and len(book.positions) >= limit:
        return Refusal(Code.OPEN_POSITIONS, f"{len(book.positions)} positions are open; at most {limit}")
    return None


def _notional(order: Order, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Refusal | None:
    least = rules.instrument.minimum_notional
    if least and order.quantity * order.price < least:
        return Refusal(Code.NOTIONAL_TOO_SMALL, f"{order.quantity * order.price} is below the least order of {least}")
    return None


def _position_limit(order: Order, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Refusal | None:
    value = (order.quantity + book.quantity(order.symbol)) * order.price
    most = standing.equity * rules.limits.max_position
    if value > most:
        return Refusal(Code.POSITION_LIMIT, f"a position of {value} would be above the limit of {most}")
    return None


def _cash(order: Order, book: Book, standing: Standing, quote: Quote, rules: Rules) -> Refusal | None:
    needed = cash_bound(order, rules.instrument, rules.costs)
    if needed > book.cash:
        return Refusal(Code.INSUFFICIENT_CASH, f"up to {needed} is needed, {book.cash} is free")
    return None


Check = Callable[[Order, Book, Standing, Quote, Rules], Refusal | None]

ENTRY_CHECKS: tuple[Check, ...] = (
    _kill_switch,
    _stale_quote,
    _drawdown,
    _daily_loss,
    _entries_per_day,
    _open_positions,
    _notional,
    _position_limit,
    _cash,
)
