"""The values that pass between the rooms from a decision to the ledger, in Decimal.

What is made anew for every order is a frozen msgspec Struct: it is built several times faster than a frozen dataclass,
and, as it cannot be part of a cycle, it is kept out of the garbage collector's rounds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from enum import IntEnum, StrEnum
from functools import cached_property, partial
from operator import methodcaller

from msgspec import Struct

ZERO = Decimal(0)
CENT = Decimal("0.01")


class Action(IntEnum):
    """What to do, numbered as the classes of the models."""

    SELL = 0
    HOLD = 1
    BUY = 2


class Reason(StrEnum):
    """Why an order was placed."""

    SIGNAL = "signal"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    TRAILING_STOP = "trailing_stop"
    MANUAL = "manual"


Rounding = Callable[[Decimal], Decimal]


def rounding_to(step: Decimal, mode: str) -> Rounding:
    """What rounds an amount to a multiple of the step, with the step's own number of places."""
    if step.as_tuple().digits == (1,):
        return methodcaller("quantize", step, mode)
    return partial(_multiple, step, mode)


def _multiple(step: Decimal, mode: str, amount: Decimal) -> Decimal:
    return (amount / step).to_integral_value(mode) * step


@dataclass(frozen=True)
class Instrument:
    """What the venue allows: prices in multiples of the tick, quantities in multiples of the lot step.

    `money_step` is the smallest amount of the account's currency; every payment is rounded to it, against the trader.
    """

    symbol: str
    price_tick: Decimal = CENT
    lot_step: Decimal = Decimal("0.00001")
    minimum_notional: Decimal = ZERO
    money_step: Decimal = CENT

    def __post_init__(self) -> None:
        for name in ("price_tick", "lot_step", "money_step"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} of {self.symbol} must be above zero")
        if not self.minimum_notional >= 0:
            raise ValueError(f"minimum_notional of {self.symbol} must not be negative")

    @cached_property
    def tick_up(self) -> Rounding:
        return rounding_to(self.price_tick, ROUND_UP)

    @cached_property
    def tick_down(self) -> Rounding:
        return rounding_to(self.price_tick, ROUND_DOWN)

    @cached_property
    def nearest_tick(self) -> Rounding:
        return rounding_to(self.price_tick, ROUND_HALF_EVEN)

    @cached_property
    def lots(self) -> Rounding:
        """Down to whole lots."""
        return rounding_to(self.lot_step, ROUND_DOWN)

    @cached_property
    def pays(self) -> Rounding:
        """An amount the trader pays, up to the money step."""
        return rounding_to(self.money_step, ROUND_UP)

    @cached_property
    def receives(self) -> Rounding:
        """An amount the trader receives, down to the money step."""
        return rounding_to(self.money_step, ROUND_DOWN)

    def price(self, price: float) -> Decimal:
        """A price of the market on the tick grid, one tick at the least."""
        return self.nearest_tick(Decimal(repr(price))) or self.price_tick

    def quantity(self, quantity: float) -> Decimal:
        """A quantity in whole lots, rounded down."""
        return self.lots(Decimal(repr(quantity)))


@dataclass(frozen=True)
class Costs:
    """Commission and slippage as fractions of the price (0.001 is 0.1 %)."""

    fee_rate: Decimal = Decimal("0.001")
    slippage_rate: Decimal = Decimal("0.001")

    def __post_init__(self) -> None:
        for name in ("fee_rate", "slippage_rate"):
            if not ZERO <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be a fraction from 0 to below 1")

    @cached_property
    def buying(self) -> Decimal:
        """What slippage makes of the price of a BUY."""
        return 1 + self.slippage_rate

    @cached_property
    def selling(self) -> Decimal:
        return 1 - self.slippage_rate

    @cached_property
    def with_fee(self) -> Decimal:
        return 1 + self.fee_rate


class Quote(Struct, frozen=True, gc=False):
    """A price that can be had now; `age_seconds` is how old the knowledge behind the order is."""

    price: Decimal
    age_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.price > 0:
            raise ValueError(f"a quote needs a price above zero, not {self.price}")
        if not self.age_seconds >= 0:
            raise ValueError(f"a quote cannot be {self.age_seconds} seconds old")


class Order(Struct, frozen=True, gc=False):
    """A market order that passed the gate; `price` is the requested price, before slippage."""

    symbol: str
    action: Action
    quantity: Decimal
    price: Decimal
    reason: Reason = Reason.SIGNAL

    def __post_init__(self) -> None:
        if not (self.quantity > 0 and self.price > 0):
            raise ValueError(f"an order needs a quantity and a price above zero: {self}")
        if self.action is Action.HOLD:
            raise ValueError("HOLD is not an order")


class Fill(Struct, frozen=True, gc=False):
    """An order that happened. `slippage` is per unit and never negative; `commission` is in account currency.

    `amount` is what changes hands without the commission: paid for a BUY, received for a SELL.
    """

    order: Order
    time: datetime
    price: Decimal
    slippage: Decimal
    amount: Decimal
    commission: Decimal

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ValueError("a fill needs an aware time")
        if not (self.price > 0 and self.amount >= 0 and self.commission >= 0):
            raise ValueError(f"a fill needs a price above zero, and no negative amounts: {self}")


class Code(StrEnum):
    """Why a decision led to no order. The codes are stable: users, tests and reports rely on them."""

    HOLD = "hold"
    POSITION_OPEN = "position_open"
    NO_POSITION = "no_position"
    KILL_SWITCH = "kill_switch"
    STALE_QUOTE = "stale_quote"
    DRAWDOWN_LIMIT = "drawdown_limit"
    DAILY_LOSS_LIMIT = "daily_loss_limit"
    ENTRIES_PER_DAY = "entries_per_day"
    OPEN_POSITIONS = "open_positions"
    QUANTITY_TOO_SMALL = "quantity_too_small"
    NOTIONAL_TOO_SMALL = "notional_too_small"
    POSITION_LIMIT = "position_limit"
    INSUFFICIENT_CASH = "insufficient_cash"
    EXCEEDS_POSITION = "exceeds_position"


NOTHING_TO_DO = frozenset({Code.HOLD, Code.POSITION_OPEN, Code.NO_POSITION})


class Refusal(Struct, frozen=True, gc=False):
    """The answer of the gate that is not an order."""

    code: Code
    detail: str

    @property
    def skipped(self) -> bool:
        """Whether there was nothing to do, rather than something that must not be done."""
        return self.code in NOTHING_TO_DO


def exact(number: float) -> Decimal:
    """The Decimal that a float is written as: 0.1 becomes 0.1, not its binary neighbour."""
    return Decimal(repr(float(number)))
