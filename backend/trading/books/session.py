"""An account at work inside one transaction: its rows as the engine's values, and fills written back to the rows.

What happens at a desk is written by `save_accounts`, for all desks of a batch at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db import connection

from engine.decide import RISK_PER_TRADE, Policy
from engine.ledger import Book, apply
from engine.ledger import Position as Held
from engine.orders import ZERO, Action, Costs, Fill, Instrument, exact
from engine.protect import Guard, guard
from engine.risk import Limits, Rules, Standing
from market.models import Symbol
from market.sources.base import Price
from market.statements import Columns, Inserted, among, fetch, update, update_alike
from trading.models import Account, AgentLog, CashEntry, Decision, Order, Position, Trade, TradingSettings

COSTS = Costs()
MONEY = ("cash", "realised", "commissions", "equity", "peak_equity", "day_start_equity", "day", "entries_today")
TRADED = (
    *("quantity", "cost", "entry_price", "mark", "stop_loss", "take_profit", "trailing", "high", "pnl", "sold_cost"),
    "closed_at",
)

ACCOUNT, SETTINGS, POSITION = Columns(Account), Columns(TradingSettings), Columns(Position)
# What explains a decision is long, and not asked for here.
DECISION = Columns(Decision, without=["explanation", "reasoning"])
ORDERS, TRADES, ENTRIES, LINES = Inserted(Order), Inserted(Trade), Inserted(CashEntry), Inserted(AgentLog)
POSITIONS = Inserted(Position)

LOCK = f"""
SELECT {ACCOUNT.of("account")} FROM trading_account AS account WHERE {{chosen}} ORDER BY account.id {{lock}}
"""  # noqa: S608
LOCK_DECIDED = f"""
SELECT {ACCOUNT.of("account")}, {DECISION.of("decision")}
FROM trading_decision AS decision JOIN trading_account AS account ON account.id = decision.account_id
WHERE {{chosen}} ORDER BY account.id {{lock}}
"""  # noqa: S608
STANDING = f"""
SELECT own.account_id, {{followed}}, {SETTINGS.of("own")}, {POSITION.of("held")}, symbol.symbol
FROM trading_tradingsettings AS own
LEFT JOIN trading_position AS held ON held.account_id = own.account_id AND held.closed_at IS NULL
LEFT JOIN market_symbol AS symbol ON symbol.id = held.symbol_id
WHERE {{chosen}} ORDER BY held.id
"""  # noqa: S608
FOLLOWED = """(
    SELECT {listed} FROM trading_follow AS follow
    WHERE follow.account_id = own.account_id AND follow.is_active AND {chosen}
)"""
LISTED = {"postgresql": "string_agg(follow.symbol_id::text, ',')", "sqlite": "group_concat(follow.symbol_id)"}


@dataclass
class Unsaved:
    """What has happened at a desk and is not written yet. A position may be in several of these lists."""

    orders: list[Order] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    entries: list[CashEntry] = field(default_factory=list)
    traded: list[Position] = field(default_factory=list)
    marked: list[Position] = field(default_factory=list)
    raised: list[Position] = field(default_factory=list)
    lines: list[AgentLog] = field(default_factory=list)


@dataclass
class Desk:
    """A locked account with its settings, its open positions by symbol, and the symbols that it follows of those that
    were asked for.
    """

    account: Account
    settings: TradingSettings
    positions: dict[str, Position]
    followed: frozenset[int] = frozenset()
    unsaved: Unsaved = field(default_factory=Unsaved)

    def __post_init__(self) -> None:
        self._stored = self._money()
        self._marks = {name: exact(position.mark) for name, position in self.positions.items()}
        held = {name: _held(name, position) for name, position in self.positions.items()}
        self._book = Book(self.account.cash, self.account.realised, self.account.commissions, held)

    def book(self) -> Book:
        return self._book

    @property
    def is_changed(self) -> bool:
        """Whether the row of the account differs from the one that was locked."""
        return self._money() != self._stored

    @cached_property
    def policy(self) -> Policy:
        return policy_of(self.settings)

    @cached_property
    def limits(self) -> Limits:
        return limits_of(self.settings)

    def rules(self, instrument: Instrument, oldest_seconds: float | None = None) -> Rules:
        """`oldest_seconds` is the limit on the age of the market data where the account sets none."""
        limits = self.limits
        if oldest_seconds is not None and limits.max_quote_age_seconds is None:
            limits = replace(limits, max_quote_age_seconds=oldest_seconds)
        return Rules(instrument, COSTS, self.policy, limits)

    def equity(self, symbol: str, price: Decimal) -> Decimal:
        """Equity with one symbol at the given price and the others at their last mark."""
        return self._book.equity({**self._marks, symbol: price})

    def standing(self, symbol: str, price: Decimal) -> Standing:
        account = self.account
        equity = self.equity(symbol, price)
        return Standing(equity, account.peak_equity, account.day_start_equity, account.entries_today)

    def balance(self) -> Decimal:
        """Free cash and what the open positions cost."""
        return self.account.cash + sum((position.cost for position in self.positions.values()), ZERO)

    def begin_day(self, day: date) -> None:
        """Rolls the counters of the day over when the market has entered a new one."""
        account = self.account
        if account.day is None or day > account.day:
            account.day, account.day_start_equity, account.entries_today = day, account.equity, 0

    def mark(self, symbol: str, close: float) -> None:
        """Values the account at a close."""
        if symbol in self.positions:
            position = self.positions[symbol]
            position.mark, self._marks[symbol] = close, exact(close)
            self.unsaved.marked.append(position)
        account = self.account
        account.equity = self.equity(symbol, exact(close))
        account.peak_equity = max(account.peak_equity, account.equity)

    def follow_high(self, symbol: str, high: float) -> None:
        """The trailing stop of a position follows a new high."""
        position = self.positions[symbol]
        if high != position.high:
            position.high = high
            self.unsaved.raised.append(position)

    def guard(self, symbol: str) -> Guard | None:
        position = self.positions[symbol]
        if position.stop_loss is None and position.take_profit is None and position.trailing is None:
            return None
        return Guard(position.stop_loss, position.take_profit, position.trailing, position.high)

    def record(
        self, fill: Fill, symbol: Symbol, instrument: Instrument, client_order_id: str, decision: Decision | None
    ) -> Trade:
        """Order, trade, position and cash of one fill."""
        before, after = self._book, apply(self._book, fill)
        order = Order(
            account=self.account,
            symbol=symbol,
            decision=decision,
            client_order_id=client_order_id,
            action=fill.order.action.name,
            quantity=fill.order.quantity,
            requested_price=fill.order.price,
            reason=fill.order.reason,
        )
        sold = fill.order.action is Action.SELL
        profit = after.realised - before.realised if sold else None
        trade = Trade(
            order=order,
            account=self.account,
            symbol=symbol,
            action=order.action,
            quantity=fill.order.quantity,
            price=fill.price,
            slippage=fill.slippage,
            amount=fill.amount,
            commission=fill.commission,
            pnl=profit,
            cost=before.entry_cost - after.entry_cost if sold else None,
            timestamp=fill.time,
        )
        self._write_position(after.positions.get(symbol.symbol), trade, fill, instrument)
        account, self._book = self.account, after
        entry = CashEntry(account=account, trade=trade, amount=after.cash - before.cash, balance=after.cash)
        self.unsaved.orders.append(order)
        self.unsaved.trades.append(trade)
        self.unsaved.entries.append(entry)
        account.cash, account.realised, account.commissions = after.cash, after.realised, after.commissions
        if not sold:
            account.entries_today += 1
        return trade

    def _write_position(self, held: Held | None, trade: Trade, fill: Fill, instrument: Instrument) -> None:
        symbol = trade.symbol
        position = self.positions.get(symbol.symbol)
        if position is None:
            position = Position(account=self.account, symbol=symbol, opened_at=fill.time, high=float(fill.price))
            position.mark, self._marks[symbol.symbol] = float(fill.price), exact(float(fill.price))
            self.positions[symbol.symbol] = position
        if fill.order.action is Action.BUY:
            levels = guard(fill.price, self.policy, instrument)
            position.stop_loss, position.take_profit, position.trailing = (
                (levels.stop, levels.target, levels.trailing) if levels else (None, None, None)
            )
        if held is None:
            position.quantity, position.cost, position.closed_at = ZERO, ZERO, fill.time
            del self.positions[symbol.symbol]
        else:
            position.quantity, position.cost, position.entry_price = held.quantity, held.cost, held.entry_price
        position.pnl += trade.pnl or ZERO
        position.sold_cost += trade.cost or ZERO
        self.unsaved.traded.append(position)

    def saved(self) -> None:
        self._stored, self.unsaved = self._money(), Unsaved()

    def _money(self) -> tuple[Any, ...]:
        return tuple(getattr(self.account, name) for name in MONEY)


def locked_desks(chosen: str, parameters: Iterable[Any], symbols: Sequence[int] = ()) -> list[Desk]:
    """The desks of the accounts that a condition on `account` chooses, locked in one order so that two workers cannot
    wait for each other.
    """
    lock = "FOR UPDATE" if connection.features.has_select_for_update else ""
    accounts = [ACCOUNT.row(row) for row in fetch(LOCK.format(chosen=chosen, lock=lock), parameters)]
    return _desks(accounts, symbols) if accounts else []


def desks_of(accounts: Iterable[int]) -> list[Desk]:
    """The desks of these accounts, locked."""
    return locked_desks(*among("account.id", accounts))


def decided_desks(decisions: Iterable[int]) -> tuple[dict[int, Desk], dict[int, Decision]]:
    """The desks of the accounts of these decisions, locked, by account; and the decisions, by their keys."""
    lock = "FOR UPDATE OF account" if connection.features.has_select_for_update else ""
    chosen, parameters = among("decision.id", decisions)
    rows, width = fetch(LOCK_DECIDED.format(chosen=chosen, lock=lock), parameters), len(ACCOUNT.fields)
    accounts = {row[0]: row[:width] for row in rows}
    made = [DECISION.row(row[width:]) for row in rows]
    desks = _desks([ACCOUNT.row(columns) for columns in accounts.values()])
    return {desk.account.pk: desk for desk in desks}, {decision.pk: decision for decision in made}


def _desks(accounts: Sequence[Account], symbols: Sequence[int] = ()) -> list[Desk]:
    """All but the accounts is read after they are locked: until then a worker may trade, or a user change his mind."""
    known: dict[int, tuple[TradingSettings, dict[str, Position], frozenset[int]]] = {}
    followed, parameters = _followed(symbols)
    chosen, keys = among("own.account_id", [account.pk for account in accounts])
    for key, followed_here, *row in fetch(STANDING.format(followed=followed, chosen=chosen), [*parameters, *keys]):
        if key not in known:
            known[key] = SETTINGS.row(row[: len(SETTINGS.fields)]), {}, _keys(followed_here)
        held = row[len(SETTINGS.fields) :]
        if held[0] is not None:
            *columns, name = held
            known[key][1][name] = POSITION.row(columns)
    return [Desk(account, *known[account.pk]) for account in accounts]


def _followed(symbols: Sequence[int]) -> tuple[str, list[Any]]:
    """What an account follows of these symbols, as a column."""
    if not symbols:
        return "NULL", []
    chosen, parameters = among("follow.symbol_id", symbols)
    return FOLLOWED.format(listed=LISTED[connection.vendor], chosen=chosen), parameters


def _keys(listed: str | None) -> frozenset[int]:
    return frozenset(map(int, listed.split(","))) if listed else frozenset()


def save_accounts(desks: Iterable[Desk]) -> None:
    """Writes all that has happened at these desks: a few statements, however many they are."""
    desks = list(desks)
    update([desk.account for desk in desks if desk.is_changed], *MONEY)
    done = [desk.unsaved for desk in desks]
    ORDERS.insert([row for unsaved in done for row in unsaved.orders])
    TRADES.insert([row for unsaved in done for row in unsaved.trades])
    ENTRIES.insert([row for unsaved in done for row in unsaved.entries])
    LINES.insert([row for unsaved in done for row in unsaved.lines])
    _save_positions(done)
    for desk in desks:
        desk.saved()


def _save_positions(done: Sequence[Unsaved]) -> None:
    traded = {id(row): row for unsaved in done for row in unsaved.traded}
    raised = {id(row): row for unsaved in done for row in unsaved.raised if id(row) not in traded}
    marked = [row for unsaved in done for row in unsaved.marked if id(row) not in traded and id(row) not in raised]
    # What was closed makes room for what was opened: there is one open position in a symbol.
    update([row for row in traded.values() if row.pk is not None], *TRADED)
    update_alike(raised.values(), "mark", "high")
    update_alike({id(row): row for row in marked}.values(), "mark")
    POSITIONS.insert([row for row in traded.values() if row.pk is None])


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
        max_daily_loss=settings.max_daily_loss,
        max_drawdown=settings.max_drawdown,
        max_entries_per_day=settings.max_entries_per_day,
        max_open_positions=settings.max_open_positions,
        max_quote_age_seconds=settings.max_quote_age_seconds,
        kill_switch=settings.kill_switch,
    )


def price_age(known_until: datetime, price: Price) -> float:
    """How old, in seconds, what was known of the market is when somebody trades at this price."""
    return max((price.time - known_until).total_seconds(), 0.0) + price.age_seconds


def _optional(fraction: Decimal | None) -> float | None:
    return None if fraction is None else float(fraction)


def _held(name: str, position: Position) -> Held:
    return Held(name, position.quantity, position.cost, position.entry_price, position.opened_at)
