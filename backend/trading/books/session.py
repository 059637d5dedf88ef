"""An account session: a locked account at work inside one transaction, its rows as the engine's values and back.

Agents call the functions of `engine.account` on the values and hand the result back with `keep`; what was filled is
recorded with `record`. `save` writes all that happened, for all sessions of a batch.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

from django.db.models import Q

from engine.account import Event
from engine.fills import amount_received
from engine.ledger import FLAT, Holding
from engine.ledger import Account as Books
from engine.orders import BUY, CENT, ZERO, Action, Instrument, Reason, exact
from engine.terms import RISK_PER_TRADE, Costs, Limits, Policy, Rules, Terms, terms_of
from market.instruments import COIN_STEP, is_in_coins, stored_instrument
from market.models import Symbol
from market.sources.base import Price
from trading.models import (
    Account,
    AgentLog,
    CashEntry,
    Decision,
    EquityPoint,
    Follow,
    Order,
    Position,
    SessionRecord,
    Trade,
    TradingSettings,
)

COSTS = Costs()
REASONS = tuple(Reason)
EPOCH = date(1970, 1, 1)
# Entry prices are averaged when a position grows; no money is computed from them. A quotient may have any number of
# digits, so it is cut to what every database gives back: SQLite keeps 15 of them.
ENTRY_PRICE_DIGITS, ENTRY_PRICE_STEP = Context(prec=15, rounding=ROUND_HALF_EVEN), Decimal("1e-12")


@dataclass
class AccountSession:
    """`books` and `holdings` (by symbol) are the engine's; `followed` are the keys of the symbols that it trades.

    `symbols` are those of the batch: money is counted in the finest steps of theirs and of the open positions'.
    """

    account: Account
    settings: TradingSettings
    positions: dict[str, Position]
    followed: frozenset[int] = frozenset()
    symbols: Collection[Symbol] = ()
    orders: list[Order] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    entries: list[CashEntry] = field(default_factory=list)
    traded: dict[int, Position] = field(default_factory=dict)
    marked: dict[int, Position] = field(default_factory=dict)
    points: dict[datetime, EquityPoint] = field(default_factory=dict)
    lines: list[AgentLog] = field(default_factory=list)
    steps: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policy, self.limits = policy_of(self.settings), limits_of(self.settings)
        self._instruments: dict[int, Instrument] = {}
        self._terms: dict[tuple[int, float | None], Terms] = {}
        account, held = self.account, [position.symbol for position in self.positions.values()]
        money = (account.cash, account.realised, account.commissions, account.peak_equity, account.day_start_equity)
        in_cents = not any(amount % CENT for amount in money)
        self.money_step = CENT if in_cents and not any(is_in_coins(it) for it in (*self.symbols, *held)) else COIN_STEP
        self.holdings = {name: self._holding(position) for name, position in self.positions.items()}
        worth = 0
        for position in self.positions.values():
            holding = self.holdings[position.symbol.symbol]
            worth += amount_received(holding.mark, holding.lots, self.terms(position.symbol))
        self.books = Books(
            cash=self._steps(account.cash),
            worth=worth,
            realised=self._steps(account.realised),
            commissions=self._steps(account.commissions),
            open_positions=len(self.positions),
            peak=self._steps(account.peak_equity),
            day=-1 if account.day is None else (account.day - EPOCH).days,
            day_start=self._steps(account.day_start_equity),
            entries=account.entries_today,
        )

    def instrument(self, symbol: Symbol) -> Instrument:
        """The steps in which the symbol is traded; finer lots where the venue's have grown since it was bought."""
        if symbol.pk not in self._instruments:
            instrument = stored_instrument(symbol)
            held = self.positions.get(symbol.symbol)
            if held is not None and held.quantity % instrument.lot_step:
                instrument = replace(instrument, lot_step=ENTRY_PRICE_STEP)
            self._instruments[symbol.pk] = instrument
        return self._instruments[symbol.pk]

    def terms(self, symbol: Symbol, oldest_seconds: float | None = None) -> Terms:
        """`oldest_seconds` is the limit on the age of the market data where the account sets none."""
        key = symbol.pk, oldest_seconds
        if key not in self._terms:
            limits, instrument = self.limits, self.instrument(symbol)
            if oldest_seconds is not None and limits.max_quote_age_seconds is None:
                limits = replace(limits, max_quote_age_seconds=oldest_seconds)
            self._terms[key] = terms_of(Rules(instrument, COSTS, self.policy, limits), self.money_step)
        return self._terms[key]

    def holding(self, symbol: Symbol) -> Holding:
        return self.holdings.get(symbol.symbol, FLAT)

    def keep(self, symbol: Symbol, books: Books, holding: Holding) -> None:
        """What the engine made of the account and of its position in a symbol."""
        self.books = books
        position = self.positions.get(symbol.symbol)
        if holding.lots and position is not None and holding != self.holdings[symbol.symbol]:
            instrument = self.instrument(symbol)
            position.mark, position.high = float(instrument.price(holding.mark)), float(instrument.price(holding.high))
            self.marked[id(position)] = position
        if holding.lots:
            self.holdings[symbol.symbol] = holding
        else:
            self.holdings.pop(symbol.symbol, None)

    def step(self, kind: str, symbol: Symbol, interval: str, time: datetime) -> None:
        """Records what is being handled: the order in which it was handled is the order of events."""
        self.steps.append([kind, symbol.symbol, interval, time.astimezone(UTC).isoformat()])

    def value(self, time: datetime) -> None:
        """The account at a close; a second market of the same moment replaces the point."""
        equity, cost = self.money(self.books.cash + self.books.worth), self.entry_cost()
        self.points[time] = EquityPoint(
            account=self.account, time=time, balance=self.money(self.books.cash) + cost, equity=equity
        )

    def entry_cost(self) -> Decimal:
        """What was paid for the positions that are open."""
        return self.money(sum(holding.cost for holding in self.holdings.values()))

    def money(self, steps: int) -> Decimal:
        return steps * self.money_step

    def record(
        self, event: Event, symbol: Symbol, time: datetime, client_order_id: str, decision: Decision | None, reason: str
    ) -> Trade:
        """Order, trade, cash entry and position of a fill whose books are kept already."""
        instrument, sold = self.instrument(symbol), event.action != BUY
        order = Order(
            account=self.account,
            symbol=symbol,
            decision=decision,
            client_order_id=client_order_id,
            action=Action(event.action).name,
            quantity=instrument.quantity(event.lots),
            requested_price=instrument.price(event.requested),
            reason=reason,
        )
        trade = Trade(
            order=order,
            account=self.account,
            symbol=symbol,
            action=order.action,
            quantity=order.quantity,
            price=instrument.price(event.price),
            slippage=abs(event.price - event.requested) * instrument.price_tick,
            amount=self.money(event.amount),
            commission=self.money(event.commission),
            pnl=self.money(event.profit) if sold else None,
            cost=self.money(event.cost) if sold else None,
            timestamp=time,
        )
        paid = event.amount - event.commission if sold else -event.amount - event.commission
        entry = CashEntry(
            account=self.account, trade=trade, amount=self.money(paid), balance=self.money(self.books.cash)
        )
        self.orders.append(order)
        self.trades.append(trade)
        self.entries.append(entry)
        self._trade_position(trade, symbol, instrument)
        return trade

    def _trade_position(self, trade: Trade, symbol: Symbol, instrument: Instrument) -> None:
        holding, position = self.holding(symbol), self.positions.get(symbol.symbol)
        if position is None:
            position = Position(account=self.account, symbol=symbol, opened_at=trade.timestamp, quantity=ZERO)
            self.positions[symbol.symbol] = position
        if trade.action == Action.BUY.name:
            before, trail = position.quantity, self.policy.trailing_stop
            position.entry_price = entry_price(before, position.entry_price or ZERO, trade.quantity, trade.price)
            position.stop_loss = instrument.price(holding.stop) if holding.stop else None
            position.take_profit = instrument.price(holding.target) if holding.target else None
            position.trailing = trail
            position.mark, position.high = float(instrument.price(holding.mark)), float(instrument.price(holding.high))
        else:
            position.pnl += trade.pnl or ZERO
            position.sold_cost += trade.cost or ZERO
        position.quantity, position.cost = instrument.quantity(holding.lots), self.money(holding.cost)
        if not holding.lots:
            position.closed_at = trade.timestamp
            del self.positions[symbol.symbol]
        self.traded[id(position)] = position

    def _holding(self, position: Position) -> Holding:
        instrument = self.instrument(position.symbol)
        trail = exact(position.trailing).as_integer_ratio() if position.trailing else (0, 1)
        return Holding(
            lots=instrument.exact_lots(position.quantity),
            cost=self._steps(position.cost),
            mark=instrument.ticks(position.mark),
            stop=_level(position.stop_loss, instrument, ROUND_FLOOR),
            target=_level(position.take_profit, instrument, ROUND_CEILING),
            trail_n=trail[0],
            trail_d=trail[1],
            high=instrument.ticks(position.high),
        )

    def _steps(self, amount: Decimal) -> int:
        return int(amount / self.money_step)

    def settle(self) -> bool:
        """Brings the row of the account to what the books say; whether it differs from before."""
        account, books = self.account, self.books
        before = dict(account.__dict__)
        account.cash, account.realised = self.money(books.cash), self.money(books.realised)
        account.commissions, account.equity = self.money(books.commissions), self.money(books.cash + books.worth)
        account.peak_equity, account.day_start_equity = self.money(books.peak), self.money(books.day_start)
        account.day = None if books.day < 0 else EPOCH + timedelta(days=books.day)
        account.entries_today = books.entries
        account.sessions += bool(self.steps)
        return account.__dict__ != before


def entry_price(before: Decimal, price_before: Decimal, quantity: Decimal, price: Decimal) -> Decimal:
    """The mean price of a position that grows from `before` by `quantity`."""
    if not before:
        return price
    mean = ENTRY_PRICE_DIGITS.divide(price_before * before + price * quantity, before + quantity)
    return mean.quantize(ENTRY_PRICE_STEP, ROUND_HALF_EVEN)


def locked_sessions(chosen: Q, symbols: Collection[Symbol] = ()) -> list[AccountSession]:
    """The sessions of the accounts that a condition chooses, locked in one order so that two workers cannot wait for
    each other; with what they follow of these symbols.

    All but the accounts is read after they are locked: until then a worker may trade, or a user change a setting.
    """
    locked = list(Account.objects.select_for_update(of=("self",)).filter(chosen).order_by("pk"))
    if not locked:
        return []
    keys = [account.pk for account in locked]
    settings = {row.account_id: row for row in TradingSettings.objects.filter(account__in=keys)}
    positions: dict[int, dict[str, Position]] = {key: {} for key in keys}
    open_ones = Position.objects.filter(account__in=keys, closed_at=None).select_related("symbol").order_by("pk")
    for position in open_ones:
        positions[position.account_id][position.symbol.symbol] = position
    followed: dict[int, set[int]] = {key: set() for key in keys}
    follows = Follow.objects.filter(account__in=keys, symbol__in=symbols, is_active=True)
    for account, symbol in follows.values_list("account", "symbol"):
        followed[account].add(symbol)
    return [
        AccountSession(row, settings[row.pk], positions[row.pk], frozenset(followed[row.pk]), symbols) for row in locked
    ]


def save(sessions: Sequence[AccountSession]) -> None:
    """Writes all that has happened in these sessions, in the order in which rows refer to each other."""
    for session in sessions:
        if session.settle():
            session.account.save()
    Order.objects.bulk_create([row for session in sessions for row in session.orders])
    Trade.objects.bulk_create([row for session in sessions for row in session.trades])
    CashEntry.objects.bulk_create([row for session in sessions for row in session.entries])
    AgentLog.objects.bulk_create([row for session in sessions for row in session.lines])
    traded = {key: row for session in sessions for key, row in session.traded.items()}
    marked = [row for session in sessions for key, row in session.marked.items() if key not in traded]
    # What was closed makes room for what was opened: there is one open position in a symbol.
    for row in traded.values():
        if row.pk is not None:
            row.save()
    Position.objects.bulk_create([row for row in traded.values() if row.pk is None])
    Position.objects.bulk_update(marked, ["mark", "high"])
    EquityPoint.objects.bulk_create(
        [row for session in sessions for row in session.points.values()],
        update_conflicts=True,
        unique_fields=["account", "time"],
        update_fields=["balance", "equity"],
    )
    SessionRecord.objects.bulk_create([
        SessionRecord(account=session.account, number=session.account.sessions, steps=session.steps)
        for session in sessions
        if session.steps
    ])  # fmt: skip


def policy_of(settings: TradingSettings) -> Policy:
    return Policy(
        confidence_threshold=float(settings.confidence_threshold),
        max_position=float(settings.max_position),
        risk_per_trade=RISK_PER_TRADE[settings.risk_level],
        stop_loss=_optional(settings.stop_loss),
        take_profit=_optional(settings.take_profit),
        trailing_stop=_optional(settings.trailing_stop),
    )


def limits_of(settings: TradingSettings) -> Limits:
    return Limits(
        max_position=settings.max_position,
        max_exposure=settings.max_exposure,
        max_daily_loss=settings.max_daily_loss,
        max_drawdown=settings.max_drawdown,
        max_entries_per_day=settings.max_entries_per_day,
        max_open_positions=settings.max_open_positions,
        max_quote_age_seconds=settings.max_quote_age_seconds,
        kill_switch=settings.kill_switch,
    )


def price_age(known_until: datetime, price: Price) -> float:
    """How old, in seconds, what was known of the market is when an order is filled at this price."""
    return max((price.time - known_until).total_seconds(), 0.0) + price.age_seconds


def day_of(time: datetime) -> int:
    """The UTC day, counted from 1970."""
    return (time.astimezone(UTC).date() - EPOCH).days


def _optional(fraction: Decimal | None) -> float | None:
    return None if fraction is None else float(fraction)


def _level(price: Decimal | None, instrument: Instrument, rounding: str) -> int:
    """A protective level in ticks, 0 for none; to the worse tick where the tick has changed since it was set."""
    return 0 if price is None else int((price / instrument.price_tick).to_integral_value(rounding))
