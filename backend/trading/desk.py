"""An account at work inside one transaction: its rows as the engine's values, and fills written back to the rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import connection

from engine.decide import RISK_PER_TRADE, Policy
from engine.ledger import Book, apply
from engine.ledger import Position as Held
from engine.orders import ZERO, Action, Costs, Fill, Instrument, exact
from engine.protect import Guard, guard
from engine.risk import Limits, Rules, Standing
from market.models import Symbol
from trading.models import Account, CashEntry, Decision, Order, Position, Trade, TradingSettings

if TYPE_CHECKING:
    from django.db.models import QuerySet

COSTS = Costs()


@dataclass
class Desk:
    """A locked account with its settings and its open positions, by symbol."""

    account: Account
    settings: TradingSettings
    positions: dict[str, Position]

    def book(self) -> Book:
        held = {name: _held(name, position) for name, position in self.positions.items()}
        account = self.account
        return Book(account.cash, account.realised, account.commissions, held)

    def rules(self, instrument: Instrument) -> Rules:
        return Rules(instrument, COSTS, policy_of(self.settings), limits_of(self.settings))

    def equity(self, symbol: str, price: Decimal) -> Decimal:
        """Equity with one symbol at the given price and the others at their last mark."""
        marks = {name: exact(position.mark) for name, position in self.positions.items()}
        return self.book().equity({**marks, symbol: price})

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
            position.mark = close
            position.save(update_fields=["mark"])
        account = self.account
        account.equity = self.equity(symbol, exact(close))
        account.peak_equity = max(account.peak_equity, account.equity)

    def follow_high(self, symbol: str, high: float) -> None:
        """The trailing stop of a position follows a new high."""
        position = self.positions[symbol]
        if high != position.high:
            position.high = high
            position.save(update_fields=["high"])

    def guard(self, symbol: str) -> Guard | None:
        position = self.positions[symbol]
        if position.stop_loss is None and position.take_profit is None and position.trailing is None:
            return None
        return Guard(position.stop_loss, position.take_profit, position.trailing, position.high)

    def record(
        self, fill: Fill, symbol: Symbol, instrument: Instrument, client_order_id: str, decision: Decision | None
    ) -> Trade:
        """Order, trade, position and cash of one fill. The caller saves the account."""
        before, after = self.book(), apply(self.book(), fill)
        order = Order.objects.create(
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
        trade = Trade.objects.create(
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
        account = self.account
        CashEntry.objects.create(account=account, trade=trade, amount=after.cash - before.cash, balance=after.cash)
        account.cash, account.realised, account.commissions = after.cash, after.realised, after.commissions
        if not sold:
            account.entries_today += 1
        return trade

    def _write_position(self, held: Held | None, trade: Trade, fill: Fill, instrument: Instrument) -> None:
        symbol = trade.symbol
        position = self.positions.get(symbol.symbol)
        if position is None:
            position = Position(account=self.account, symbol=symbol, opened_at=fill.time, high=float(fill.price))
            position.mark = float(fill.price)
            self.positions[symbol.symbol] = position
        if fill.order.action is Action.BUY:
            levels = guard(fill.price, policy_of(self.settings), instrument)
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
        position.save()


def locked_desks(accounts: "QuerySet[Account]") -> list[Desk]:
    """The desks of these accounts, locked in one order so that two workers cannot wait for each other."""
    if connection.features.has_select_for_update:
        accounts = accounts.select_for_update(of=("self",))
    rows = list(accounts.select_related("settings", "user").order_by("pk"))
    return _desks(rows)


def _desks(accounts: Iterable[Account]) -> list[Desk]:
    desks = {account.pk: Desk(account, account.settings, {}) for account in accounts}
    held = Position.objects.filter(account__in=list(desks), closed_at__isnull=True).select_related("symbol")
    for position in held.order_by("pk"):
        desks[position.account_id].positions[position.symbol.symbol] = position
    return list(desks.values())


def save_accounts(desks: Iterable[Desk]) -> None:
    fields = ["cash", "realised", "commissions", "equity", "peak_equity", "day_start_equity", "day", "entries_today"]
    Account.objects.bulk_update([desk.account for desk in desks], fields, batch_size=200)


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


def price_age(decided_at: datetime, priced_at: datetime) -> float:
    return max((priced_at - decided_at).total_seconds(), 0.0)


def _optional(fraction: Decimal | None) -> float | None:
    return None if fraction is None else float(fraction)


def _held(name: str, position: Position) -> Held:
    return Held(name, position.quantity, position.cost, position.entry_price, position.opened_at)
