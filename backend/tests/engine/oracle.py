"""What an account does with a history, written once more: slowly, in exact fractions of prices, quantities and money.

It shares no code with the fold. Trades and refusals are recorded in the order in which they happen.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

from engine.history import Series
from engine.terms import REFERENCE_STOP

SELL, HOLD, BUY = 0, 1, 2
Entry = tuple[int, int, int, int, int, Callable[[int, int], None]]


def up(amount: Fraction, step: Fraction) -> Fraction:
    return ceil(amount / step) * step


def down(amount: Fraction, step: Fraction) -> Fraction:
    return floor(amount / step) * step


def as_written(number: object) -> Fraction:
    """A float or a Decimal as it is written."""
    return Fraction(str(number))


@dataclass(frozen=True)
class Trade:
    instrument: int
    row: int
    side: str
    reason: str
    quantity: Fraction
    requested: Fraction
    price: Fraction
    amount: Fraction
    commission: Fraction
    profit: Fraction


@dataclass
class Position:
    quantity: Fraction
    cost: Fraction
    mark: Fraction
    stop: Fraction | None
    target: Fraction | None
    high: Fraction


@dataclass
class Oracle:
    series: list[Series]
    cash: Fraction
    positions: dict[int, Position] = field(default_factory=dict)
    pending: dict[int, tuple[int, Fraction]] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    outcomes: dict[tuple[int, int], str] = field(default_factory=dict)
    equity_at_close: dict[tuple[int, int], Fraction] = field(default_factory=dict)
    open_at_close: dict[tuple[int, int], int] = field(default_factory=dict)
    day: int = -1
    entries: int = 0

    def __post_init__(self) -> None:
        self.peak = self.day_start = self.cash
        self.money = Fraction(self.series[0].rules.instrument.money_step)
        self.tick = [Fraction(one.rules.instrument.price_tick) for one in self.series]
        self.lot = [Fraction(one.rules.instrument.lot_step) for one in self.series]

    def play(self) -> "Oracle":
        for _, _, _, k, row, event in sorted(self.timetable(), key=lambda entry: entry[:5]):
            event(k, row)
        return self

    def timetable(self) -> Iterator[Entry]:
        """Everything that happens, with what it is ordered by."""
        for k, one in enumerate(self.series):
            for row, opens in enumerate(one.times.tolist()):
                closes = min([opens + one.length, *one.times[row + 1 : row + 2].tolist()])
                sells = row > 0 and one.actions[row - 1] == SELL
                yield closes, 0, 0, k, row, self.close
                yield closes, 1, 0, k, row, self.decide
                yield opens, 2, 0 if sells else 1, k, row, self.open

    def price(self, k: int, column: str, row: int) -> Fraction:
        return int(getattr(self.series[k], column)[row]) * self.tick[k]

    def value(self, quantity: Fraction, price: Fraction) -> Fraction:
        return down(quantity * price, self.money)

    def equity(self, prices: dict[int, Fraction] | None = None) -> Fraction:
        marks = {**{k: held.mark for k, held in self.positions.items()}, **(prices or {})}
        return self.cash + sum(self.value(held.quantity, marks[k]) for k, held in self.positions.items())

    def enter_day(self, k: int, row: int) -> None:
        day = int(self.series[k].times[row]) // 86400
        if day > self.day:
            self.day, self.day_start, self.entries = day, self.equity(), 0

    def open(self, k: int, row: int) -> None:
        if k not in self.pending:
            return
        self.enter_day(k, row)
        action, quantity = self.pending.pop(k)
        price = self.price(k, "open", row)
        refusal = self.refusal(k, row, action, quantity, price)
        self.outcomes[k, row - 1] = refusal or "executed"
        if refusal is None and action == SELL:
            self.sell(k, row, price, "signal")
        elif refusal is None:
            self.buy(k, row, quantity, price)

    def refusal(self, k: int, row: int, action: int, quantity: Fraction, price: Fraction) -> str | None:
        if action == HOLD:
            return "hold"
        if action == SELL:
            return None if k in self.positions else "no_position"
        if k in self.positions:
            return "position_open"
        rules, one = self.series[k].rules, self.series[k]
        limits, held = rules.limits, self.positions
        age = int(one.times[row]) - int(one.times[row - 1]) - one.length
        equity, value = self.equity({k: price} if k in held else None), quantity * price
        others = sum(self.value(other.quantity, other.mark) for other in held.values())
        _, paid, fee = self.costs_of_buying(k, quantity, price)
        checks = [
            ("quantity_too_small", quantity == 0),
            ("kill_switch", limits.kill_switch),
            ("stale_quote", limits.max_quote_age_seconds is not None and age > limits.max_quote_age_seconds),
            ("drawdown_limit", limits.max_drawdown and equity < self.peak * (1 - Fraction(limits.max_drawdown))),
            (
                "daily_loss_limit",
                limits.max_daily_loss and equity < self.day_start * (1 - Fraction(limits.max_daily_loss)),
            ),
            ("entries_per_day", limits.max_entries_per_day is not None and self.entries >= limits.max_entries_per_day),
            ("open_positions", limits.max_open_positions is not None and len(held) >= limits.max_open_positions),
            ("notional_too_small", value < up(Fraction(rules.instrument.minimum_notional), self.money)),
            ("position_limit", value > equity * Fraction(limits.max_position)),
            ("exposure_limit", limits.max_exposure and others + value > equity * Fraction(limits.max_exposure)),
            ("insufficient_cash", paid + fee > self.cash),
        ]
        return next((code for code, fails in checks if fails), None)

    def costs_of_buying(self, k: int, quantity: Fraction, price: Fraction) -> tuple[Fraction, Fraction, Fraction]:
        costs = self.series[k].rules.costs
        moved = up(price * (1 + Fraction(costs.slippage_rate)), self.tick[k])
        exactly = moved * quantity
        return moved, up(exactly, self.money), up(exactly * Fraction(costs.fee_rate), self.money)

    def buy(self, k: int, row: int, quantity: Fraction, requested: Fraction) -> None:
        policy = self.series[k].rules.policy
        price, amount, fee = self.costs_of_buying(k, quantity, requested)
        stop = target = None
        if policy.stop_loss is not None:
            stop = down(price * (1 - as_written(policy.stop_loss)), self.tick[k])
        if policy.take_profit is not None:
            target = up(price * (1 + as_written(policy.take_profit)), self.tick[k])
        self.cash -= amount + fee
        self.entries += 1
        self.positions[k] = Position(quantity, amount + fee, price, stop, target, high=price)
        self.trades.append(
            Trade(k, row, "BUY", "signal", quantity, requested, price, amount, fee, Fraction(0))
        )  # fmt: skip

    def sell(self, k: int, row: int, requested: Fraction, reason: str) -> None:
        costs, held = self.series[k].rules.costs, self.positions.pop(k)
        price = max(down(requested * (1 - Fraction(costs.slippage_rate)), self.tick[k]), self.tick[k])
        amount = self.value(held.quantity, price)
        fee = up(price * held.quantity * Fraction(costs.fee_rate), self.money)
        fee = min(fee, self.cash + amount)
        self.cash += amount - fee
        profit = amount - fee - held.cost
        self.trades.append(
            Trade(k, row, "SELL", reason, held.quantity, requested, price, amount, fee, profit)
        )  # fmt: skip

    def close(self, k: int, row: int) -> None:
        self.enter_day(k, row)
        if k in self.positions:
            self.protect(k, row)
        if k in self.positions:
            self.positions[k].mark = self.price(k, "close", row)
        equity = self.equity()
        self.peak = max(self.peak, equity)
        self.equity_at_close[k, row], self.open_at_close[k, row] = equity, len(self.positions)

    def protect(self, k: int, row: int) -> None:
        policy, held = self.series[k].rules.policy, self.positions[k]
        opened, high, low = (self.price(k, column, row) for column in ("open", "high", "low"))
        stops = []
        if held.stop:
            stops.append((held.stop, "stop_loss"))
        if policy.trailing_stop is not None:
            trailing = down(held.high * (1 - as_written(policy.trailing_stop)), self.tick[k])
            if trailing > (held.stop or 0):
                stops = [(trailing, "trailing_stop")]
        hit = [(level, reason) for level, reason in stops if low <= level]
        gapped_down = [reason for level, reason in hit if opened <= level]
        if gapped_down:
            self.sell(k, row, opened, gapped_down[0])
        elif held.target is not None and opened >= held.target:
            self.sell(k, row, opened, "take_profit")
        elif hit:
            self.sell(k, row, low if policy.stop_fills_at_low else hit[0][0], hit[0][1])
        elif held.target is not None and high >= held.target:
            self.sell(k, row, held.target, "take_profit")
        else:
            held.high = max(held.high, high)

    def decide(self, k: int, row: int) -> None:
        one = self.series[k]
        action = int(one.actions[row])
        if action >= 0:
            self.outcomes[k, row] = "pending"
            self.pending[k] = action, self.size(k, row) if action == BUY and k not in self.positions else Fraction(0)

    def size(self, k: int, row: int) -> Fraction:
        """In floats, of money steps, as the rule says: only whole lots of the result count."""
        one, lot = self.series[k], self.lot[k]
        policy = one.rules.policy
        if policy.quantity is not None:
            return down(Fraction(policy.quantity), lot)
        confidence, noise = float(one.confidence[row]), float(one.noise[row])
        stop = policy.stop_loss or REFERENCE_STOP
        risk = 0.5 * (1.0 - confidence) + 0.5 * min(noise / stop, 1.0)
        equity, cash = float(self.equity() / self.money), float(self.cash / self.money)
        by_limit = equity * (policy.max_position * confidence * (1.0 - risk))
        by_risk = equity * policy.risk_per_trade / stop
        by_cash = cash * (1.0 - policy.cash_reserve)
        one_tick = self.tick[k] * lot / self.money
        lots = min(by_limit, by_risk, by_cash) * one_tick.denominator / (int(one.close[row]) * one_tick.numerator)
        return floor(lots) * lot
