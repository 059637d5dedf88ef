"""Orders and their outcomes: actions, reasons, refusal codes, and the steps of an instrument.

Inside the engine prices are whole ticks, quantities whole lots and money whole steps of the account's currency. An
`Instrument` converts between them and the Decimals and floats outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ticks = npt.NDArray[Any]
"""Whole numbers of int32 or int64; Python's own, in an object array, where 64 bits do not suffice."""

ZERO = Decimal(0)
CENT = Decimal("0.01")
LARGEST_INT32, LARGEST_INT64 = 2**31 - 1, 2**62
"""Of 64 bits one is left free: two such numbers can be added."""


class Action(IntEnum):
    """The actions, numbered as the classes of the models."""

    SELL = 0
    HOLD = 1
    BUY = 2


class Reason(StrEnum):
    """Why an order was placed. The fold uses their positions as numbers."""

    SIGNAL = "signal"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    TRAILING_STOP = "trailing_stop"
    MANUAL = "manual"


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
    EXPOSURE_LIMIT = "exposure_limit"
    INSUFFICIENT_CASH = "insufficient_cash"
    EXCEEDS_POSITION = "exceeds_position"


NOTHING_TO_DO = frozenset({Code.HOLD, Code.POSITION_OPEN, Code.NO_POSITION})
"""The codes of decisions with nothing to do; the others are refusals."""

# The same as plain numbers, which compiled code can hold. Their order is that of the classes above.
SELL, HOLD, BUY = range(3)
SIGNAL, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP, MANUAL = range(5)
NO_DECISION = -1
"""In an array of actions: there was no snapshot, or no model, to decide on."""

OUTCOMES = ("none", "pending", "executed", *(code.value for code in Code))
"""The outcome of a decision, by its number. Pending: the history ends before the next price."""

NONE, PENDING, EXECUTED = range(3)
(
    REFUSED_HOLD,
    REFUSED_POSITION_OPEN,
    REFUSED_NO_POSITION,
    REFUSED_KILL_SWITCH,
    REFUSED_STALE_QUOTE,
    REFUSED_DRAWDOWN_LIMIT,
    REFUSED_DAILY_LOSS_LIMIT,
    REFUSED_ENTRIES_PER_DAY,
    REFUSED_OPEN_POSITIONS,
    REFUSED_QUANTITY_TOO_SMALL,
    REFUSED_NOTIONAL_TOO_SMALL,
    REFUSED_POSITION_LIMIT,
    REFUSED_EXPOSURE_LIMIT,
    REFUSED_INSUFFICIENT_CASH,
    REFUSED_EXCEEDS_POSITION,
) = range(3, 3 + len(Code))


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
    def _ticks_per_unit(self) -> float:
        return float(1 / self.price_tick)

    def ticks(self, price: float) -> int:
        """A price of the market in ticks, to the nearest (half to even). Raises ValueError below half a tick."""
        return self.tick_row([price])[0]

    def tick_row(self, prices: Sequence[float]) -> list[int]:
        """The same of a few prices."""
        per_unit = self._ticks_per_unit
        found = [round(price * per_unit) for price in prices]
        if min(found) < 1:
            raise ValueError(f"a price of {min(prices)} is below half a tick of {self.price_tick} of {self.symbol}")
        return found

    def tick_array(self, prices: Array) -> Ticks:
        """The same of prices (n,) in the smallest type that holds them, but one tick at the least."""
        scaled = np.rint(prices * self._ticks_per_unit)
        np.maximum(scaled, 1.0, out=scaled)
        largest = scaled.max(initial=0.0)
        if largest >= LARGEST_INT64:
            return np.array([int(value) for value in scaled.tolist()], dtype=object)
        return scaled.astype(np.int32 if largest <= LARGEST_INT32 else np.int64)

    def price(self, ticks: int) -> Decimal:
        return ticks * self.price_tick

    def lots(self, quantity: Decimal) -> int:
        """A quantity in whole lots, rounded down."""
        return int(quantity // self.lot_step)

    def quantity(self, lots: int) -> Decimal:
        return lots * self.lot_step

    def exact_ticks(self, price: Decimal) -> int:
        """A price that is a multiple of the tick. Raises ValueError for any other."""
        return _whole(price, self.price_tick, "price")

    def exact_lots(self, quantity: Decimal) -> int:
        """A quantity of whole lots. Raises ValueError for any other."""
        return _whole(quantity, self.lot_step, "quantity")

    def money_steps(self, amount: Decimal) -> int:
        """An amount of whole money steps. Raises ValueError for any other."""
        return _whole(amount, self.money_step, "amount")

    def money(self, steps: int) -> Decimal:
        return steps * self.money_step

    @cached_property
    def least_steps(self) -> int:
        """The least order in money steps, rounded up."""
        return int((self.minimum_notional / self.money_step).to_integral_value(ROUND_CEILING))


def _whole(value: Decimal, step: Decimal, what: str) -> int:
    whole = int(value / step)
    if whole * step != value:
        raise ValueError(f"the {what} {value} is not in whole steps of {step}")
    return whole


def exact(number: float) -> Decimal:
    """The Decimal that a float is written as: 0.1 becomes 0.1, not its binary neighbour."""
    return Decimal(repr(float(number)))


def refusal_counts(outcomes: npt.NDArray[np.int8]) -> dict[str, int]:
    """Decisions that led to no order, by the code of the refusal, commonest first."""
    counts = np.bincount(outcomes, minlength=len(OUTCOMES))
    first = EXECUTED + 1
    order = first + np.argsort(-counts[first:], kind="stable")
    return {OUTCOMES[number]: int(counts[number]) for number in order if counts[number]}


def rounded(amount: Decimal, step: Decimal) -> Decimal:
    """An amount with the places of a step, half to even."""
    return amount.quantize(step, ROUND_HALF_EVEN)
