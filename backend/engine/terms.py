"""How an account trades, as people state it (`Costs`, `Policy`, `Limits`), and as the fold computes with it (`Terms`).

Fractions become ratios of whole numbers, so that rounding happens only in `fills`, `protect` and `ledger`.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import inf
from typing import NamedTuple

from engine.orders import LARGEST_INT64, ZERO, Instrument, exact

REFERENCE_STOP = 0.05
"""The stop distance that risk is measured against when an account trades without a stop."""

RISK_PER_TRADE = {"low": 0.005, "medium": 0.01, "high": 0.02}
"""The fraction of equity that one position may lose at its stop, by risk level."""

OFF = -1


@dataclass(frozen=True)
class Costs:
    """Commission and slippage as fractions of the price (0.001 is 0.1 %)."""

    fee_rate: Decimal = Decimal("0.001")
    slippage_rate: Decimal = Decimal("0.001")

    def __post_init__(self) -> None:
        for name in ("fee_rate", "slippage_rate"):
            if not ZERO <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be a fraction from 0 to below 1")


@dataclass(frozen=True, slots=True)
class Policy:
    """How an account trades; all fractions are of equity or of price, None switches a rule off.

    `cash_reserve` stays free at every entry: it pays the costs, and the gap up to the price of the fill. A fixed
    `quantity` replaces the sizing by equity, confidence and risk. With `stop_fills_at_low` a stop that is reached
    inside a candle fills at the low of the candle instead of at its level.
    """

    confidence_threshold: float = 0.5
    max_position: float = 0.5
    risk_per_trade: float = RISK_PER_TRADE["medium"]
    stop_loss: float | None = 0.05
    take_profit: float | None = 0.1
    trailing_stop: float | None = None
    cash_reserve: float = 0.01
    quantity: Decimal | None = None
    stop_fills_at_low: bool = False

    def __post_init__(self) -> None:
        for name in ("confidence_threshold", "max_position", "risk_per_trade", "cash_reserve"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        for name in ("stop_loss", "trailing_stop"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if self.take_profit is not None and not 0 < self.take_profit < inf:
            raise ValueError(f"take_profit must be above 0, not {self.take_profit}")
        if self.quantity is not None and not self.quantity > 0:
            raise ValueError(f"quantity must be above 0, not {self.quantity}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an account may not do, as fractions of equity where not said otherwise; None means no such limit.

    `max_position` bounds one instrument; `max_exposure`, the losses and the counts bound the account as a whole.
    """

    max_position: Decimal = Decimal("0.5")
    max_exposure: Decimal | None = None
    max_daily_loss: Decimal | None = None
    max_drawdown: Decimal | None = None
    max_entries_per_day: int | None = None
    max_open_positions: int | None = None
    max_quote_age_seconds: float | None = None
    kill_switch: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.max_position <= 1:
            raise ValueError(f"max_position must be above 0 and at most 1, not {self.max_position}")
        for name in ("max_exposure", "max_daily_loss", "max_drawdown"):
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


class Terms(NamedTuple):
    """`Rules` as the numbers that the fold computes with; x_n / x_d is a ratio, and x_n of 0 switches x off.

    A price in ticks times a quantity in lots times unit_n / unit_d is an amount in money steps of the account; payments
    are rounded to `scale` of them, one money step of the instrument. OFF (-1) stands for no limit on a count.
    `largest_lots` and `largest_money` bound what 64 bits can compute with.
    """

    unit_n: int
    unit_d: int
    scale: int
    slippage_n: int
    slippage_d: int
    fee_n: int
    fee_d: int
    stop_n: int
    stop_d: int
    target_n: int
    target_d: int
    trail_n: int
    trail_d: int
    stop_fills_at_low: int
    fixed_lots: int
    least_steps: int
    position_n: int
    position_d: int
    exposure_n: int
    exposure_d: int
    daily_loss_n: int
    daily_loss_d: int
    drawdown_n: int
    drawdown_d: int
    max_entries: int
    max_open: int
    kill_switch: int
    max_age: float
    max_position: float
    risk_per_trade: float
    stop_distance: float
    cash_reserve: float
    largest_lots: float
    largest_money: float


FLOAT_TERMS = Terms._fields[Terms._fields.index("max_age") :]


def terms_of(rules: Rules, money_step: Decimal | None = None) -> Terms:
    """`money_step` is the smallest amount of the account where that is finer than the instrument's own."""
    instrument, costs, policy, limits = rules.instrument, rules.costs, rules.policy, rules.limits
    step = instrument.money_step if money_step is None else money_step
    scale, rest = divmod(instrument.money_step, step)
    if rest or not scale:
        raise ValueError(f"the money of {instrument.symbol} is not in whole steps of {step}")
    unit = Fraction(instrument.price_tick) * Fraction(instrument.lot_step) / Fraction(step)
    return Terms(
        *unit.as_integer_ratio(),
        int(scale),
        *costs.slippage_rate.as_integer_ratio(),
        *costs.fee_rate.as_integer_ratio(),
        *_ratio(policy.stop_loss),
        *_ratio(policy.take_profit),
        *_ratio(policy.trailing_stop),
        stop_fills_at_low=int(policy.stop_fills_at_low),
        fixed_lots=OFF if policy.quantity is None else instrument.lots(policy.quantity),
        least_steps=instrument.least_steps * int(scale),
        position_n=limits.max_position.as_integer_ratio()[0],
        position_d=limits.max_position.as_integer_ratio()[1],
        exposure_n=_ratio(limits.max_exposure)[0],
        exposure_d=_ratio(limits.max_exposure)[1],
        daily_loss_n=_ratio(limits.max_daily_loss)[0],
        daily_loss_d=_ratio(limits.max_daily_loss)[1],
        drawdown_n=_ratio(limits.max_drawdown)[0],
        drawdown_d=_ratio(limits.max_drawdown)[1],
        max_entries=OFF if limits.max_entries_per_day is None else limits.max_entries_per_day,
        max_open=OFF if limits.max_open_positions is None else limits.max_open_positions,
        kill_switch=int(limits.kill_switch),
        max_age=inf if limits.max_quote_age_seconds is None else float(limits.max_quote_age_seconds),
        max_position=policy.max_position,
        risk_per_trade=policy.risk_per_trade,
        stop_distance=policy.stop_loss or REFERENCE_STOP,
        cash_reserve=policy.cash_reserve,
        largest_lots=inf,
        largest_money=inf,
    )


def bounded(terms: Terms, highest_tick: int) -> Terms | None:
    """The same for 64 bits: with the most lots and money for which nothing in the fold overflows up to this price.

    None where even one lot would not fit. `history.play` compares lots and money with these bounds.
    """
    t = terms
    # Slippage at most doubles a price.
    price = 2 * highest_tick
    ratios = (t.slippage_n + t.slippage_d, t.stop_d, t.target_n + t.target_d, t.trail_d)
    per_lot = price * t.unit_n * max(t.fee_n, t.position_d, t.exposure_d)
    per_step = max(t.unit_d * max(t.position_n, t.exposure_d), t.daily_loss_d, t.drawdown_d)
    constants = (t.unit_d * t.fee_d * t.scale, t.unit_d * t.least_steps, t.fixed_lots, t.max_entries, t.max_open)
    if max(price * max(ratios), per_lot, per_step, *constants) >= LARGEST_INT64:
        return None
    return t._replace(largest_lots=LARGEST_INT64 / per_lot, largest_money=LARGEST_INT64 / per_step)


def _ratio(fraction: float | Decimal | None) -> tuple[int, int]:
    if fraction is None:
        return 0, 1
    exactly = fraction if isinstance(fraction, Decimal) else exact(fraction)
    return exactly.as_integer_ratio()
