"""All round trips of a history at once, where no entry depends on the ones before it.

That is so for a fixed quantity, without protective levels, while no limit and no lack of cash refuses an entry. Money
is then whole numbers: prices in ticks, amounts in steps of money, and `fills.terms` a few integer divisions for all
trades together. Where a number might not fit, or an entry might be refused, nothing is claimed: `jump` plays it out.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np

from engine.history import History, Rows
from engine.holdings import Holdings, Run
from engine.orders import Action, Order, Reason
from engine.risk import Limits, Rules

# What every whole number has to stay below, to be safe in 64 bits.
LARGEST = 2**61
# An entry that comes within this share of a limit is not certain to pass it.
MARGIN = 1e-6
# A price this near to the middle between two ticks might be rounded either way.
TIE = 0.499


@dataclass(frozen=True, slots=True)
class Steps:
    """The numbers of `fills.terms` as ratios: what a price in ticks is multiplied with, and divided by."""

    slippage: tuple[int, int]
    amount: tuple[int, int]
    fee: tuple[int, int]

    @classmethod
    def of(cls, quantity: Decimal, rules: Rules) -> "Steps":
        instrument, costs = rules.instrument, rules.costs
        amount = (instrument.price_tick * quantity).as_integer_ratio()
        money = instrument.money_step.as_integer_ratio()
        return cls(
            costs.slippage_rate.as_integer_ratio(),
            (amount[0] * money[1], amount[1] * money[0]),
            costs.fee_rate.as_integer_ratio(),
        )

    def fits(self, ticks: Rows) -> bool:
        """Whether every product of these numbers fits into 64 bits."""
        (slip, slips), (amount, amounts), (fee, fees) = self.slippage, self.amount, self.fee
        # Slippage at most doubles a price.
        highest = 2 * int(ticks.max(initial=1))
        return max(highest * (slips + slip), highest * amount * max(fee, 1), amounts * fees) < LARGEST

    def paid(self, ticks: Rows) -> Rows:
        """What BUYs at these prices cost, in steps of money: amounts and commissions, each rounded up."""
        slip, slips = self.slippage
        price = -(ticks * -(slips + slip) // slips)
        return self._up(price) + self._commission(price)

    def received(self, ticks: Rows) -> Rows:
        """What SELLs at these prices bring: amounts rounded down, less commissions rounded up; one tick at least."""
        slip, slips = self.slippage
        price = np.maximum(ticks * (slips - slip) // slips, 1)
        return price * self.amount[0] // self.amount[1] - self._commission(price)

    def _up(self, price: Rows) -> Rows:
        amount, amounts = self.amount
        return -(price * -amount // amounts)

    def _commission(self, price: Rows) -> Rows:
        (amount, amounts), (fee, fees) = self.amount, self.fee
        return -(price * -(amount * fee) // (amounts * fees))


class FixedSizeHoldings(Holdings):
    """Holdings made of whole numbers: prices in ticks, cash in steps of money. Runs are spelled out when asked for."""

    def __init__(
        self, history: History, rules: Rules, quantity: Decimal, bought: Rows, sold: Rows, flows: Rows
    ) -> None:
        self._history, self._rules, self._quantity = history, rules, quantity
        self._bought, self._sold, self._flows = bought, sold, flows
        per_unit = float(1 / rules.instrument.money_step)
        self.initial, self.close = int(flows[0]) * rules.instrument.money_step, history.close
        self.entries, closed = _turns(history)
        self.exits = _padded(closed, self.entries.size, history.rows)
        self._cash = flows[1::2]
        self._after = _padded(flows[2::2], self._cash.size, int(flows[-1]))
        self.cash, self.cash_after = self._cash / per_unit, self._after / per_unit
        self.quantities = np.full(self.entries.size, float(quantity))

    def profits(self) -> list[Decimal]:
        step = self._rules.instrument.money_step
        return [profit * step for profit in np.diff(self._flows[::2]).tolist()]

    @cached_property
    def runs(self) -> list[Run]:
        instrument = self._rules.instrument
        tick, step, symbol, quantity = instrument.price_tick, instrument.money_step, instrument.symbol, self._quantity
        sales = [Order(symbol, Action.SELL, quantity, price * tick, Reason.SIGNAL) for price in self._sold.tolist()]
        return [
            Run(entry, Order(symbol, Action.BUY, quantity, price * tick), cash * step, exit_, sale, after * step)
            for entry, price, cash, exit_, sale, after in zip(
                self.entries.tolist(),
                self._bought.tolist(),
                self._cash.tolist(),
                self.exits.tolist(),
                [*sales, None],
                self._after.tolist(),
                strict=False,
            )
        ]


def played_at_once(history: History, rules: Rules, cash: Decimal) -> FixedSizeHoldings | None:
    """The holdings of a history whose entries all pass the gate for certain, or None where that cannot be said."""
    quantity = _fixed_quantity(rules)
    initial = cash / rules.instrument.money_step
    if quantity is None or initial % 1 or initial >= LARGEST:
        return None
    entries, exits = _turns(history)
    bought, sold = (_ticks(history.open[rows], rules) for rows in (entries, exits))
    if bought is None or sold is None:
        return None
    steps = Steps.of(quantity, rules)
    if not (steps.fits(bought) and steps.fits(sold)):
        return None
    changes = np.empty(1 + bought.size + sold.size, dtype=np.int64)
    changes[0], changes[1::2], changes[2::2] = int(initial), -steps.paid(bought), steps.received(sold)
    flows = np.cumsum(changes)
    if not _all_pass(bought, flows[: 2 * bought.size : 2], quantity, rules):
        return None
    return FixedSizeHoldings(history, rules, quantity, bought, sold, flows)


def _fixed_quantity(rules: Rules) -> Decimal | None:
    """The quantity in lots, if it is all that entries depend on."""
    policy, limits = rules.policy, rules.limits
    if policy.quantity is None or policy.protects or limits != Limits(max_position=limits.max_position):
        return None
    return rules.instrument.quantity(float(policy.quantity)) or None


def _turns(history: History) -> tuple[Rows, Rows]:
    """The rows of entries and exits: each BUY after a SELL and each SELL after a BUY, filled at the next open."""
    actions = history.actions[:-1]
    told = np.flatnonzero((actions == Action.BUY) | (actions == Action.SELL))
    long = actions[told] == Action.BUY
    before = np.concatenate([[False], long[:-1]])[: long.size]
    rows = told[long != before] + 1
    return rows[::2], rows[1::2]


def _ticks(prices: np.ndarray, rules: Rules) -> Rows | None:
    """Prices in whole ticks, or None when one stands too near the middle of two, or below one."""
    scaled = prices * float(1 / rules.instrument.price_tick)
    ticks = np.rint(scaled)
    if np.any(np.abs(scaled - ticks) > TIE) or np.any(ticks < 1) or np.any(ticks > 2**50):
        return None
    return ticks.astype(np.int64)


def _all_pass(bought: Rows, before: Rows, quantity: Decimal, rules: Rules) -> bool:
    """Whether every entry keeps clear of the limits that are left: position, notional and cash (`risk`)."""
    instrument, costs = rules.instrument, rules.costs
    cash = before * float(instrument.money_step)
    price, size = bought * float(instrument.price_tick), float(quantity)
    highest = price * float(costs.buying) + float(instrument.price_tick)
    needed = highest * size * float(costs.with_fee) + 2 * float(instrument.money_step)
    worth = price * size
    clear = (needed * (1 + MARGIN) < cash) & (worth * (1 + MARGIN) < cash * float(rules.limits.max_position))
    return bool(np.all(clear & (worth > float(instrument.minimum_notional) * (1 + MARGIN))))


def _padded(values: Rows, size: int, last: int) -> Rows:
    """With `last` for a run that is still open."""
    return values if values.size == size else np.append(values, last)
