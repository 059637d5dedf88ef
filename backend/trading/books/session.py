"""An account session: a locked account at work inside one transaction, its rows as the engine's values and back.

`close`, `decide` and `execute` call the order of events in `engine.account`, and make rows of what it returns. `save`
writes all that happened, for all sessions of a batch.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from database.rows import (
    FOLLOWED_BY,
    LOCKED_BY_KEY,
    LOCKED_CONCERNED,
    OPEN_POSITIONS_OF,
    SETTINGS_OF,
    fetch,
    insert,
    update,
)
from engine.account import Event, at_open, candle
from engine.decide import proposed_lots, risk_score
from engine.fills import amount_received
from engine.ledger import FLAT, Books, Holding
from engine.orders import BUY, CENT, EXECUTED, OUTCOMES, ZERO, Action, Code, Instrument, Reason, exact
from engine.risk import refusal_text
from engine.snapshot import Snapshot
from engine.terms import RISK_PER_TRADE, Costs, Limits, Policy, Rules, Terms, terms_of
from market.instruments import COIN_STEP, stored_instrument
from market.models import Symbol
from market.sources.base import Price
from trading.models import (
    Account,
    AgentLog,
    CashEntry,
    Decision,
    EquityPoint,
    Follow,
    Message,
    Order,
    Position,
    SessionRecord,
    Trade,
    TradingSettings,
)

COSTS = Costs()
REASONS = tuple(Reason)
PRICES = ("open", "high", "low", "close")
EPOCH = date(1970, 1, 1)
# Entry prices are averaged when a position grows; no money is computed from them. A quotient may have any number of
# digits, so it is cut to what every database gives back: SQLite keeps 15 of them.
ENTRY_PRICE_DIGITS, ENTRY_PRICE_STEP = Context(prec=15, rounding=ROUND_HALF_EVEN), Decimal("1e-12")


class Refusal(NamedTuple):
    """Why there was no order."""

    code: Code
    detail: str


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
        self._stored = dict(self.account.__dict__)
        self.model_name = self.settings.model_name
        self._instruments = {symbol.symbol: stored_instrument(symbol) for symbol in self.symbols}
        for name, position in self.positions.items():
            instrument = self._instruments.get(name) or stored_instrument(position.symbol)
            if position.quantity % instrument.lot_step:
                # Bought in finer lots than the venue takes now: all of it has to stay sellable.
                instrument = replace(instrument, lot_step=ENTRY_PRICE_STEP)
            self._instruments[name] = instrument
        account, steps = self.account, [instrument.money_step for instrument in self._instruments.values()]
        money = [account.cash, account.realised, account.commissions, account.peak_equity, account.day_start_equity]
        money += [position.cost for position in self.positions.values()]
        self.money_step = COIN_STEP if any(amount % CENT for amount in money) else min([CENT, *steps])
        self.policy, self.limits = rules_of(*(getattr(self.settings, name) for name in RULES))
        self.holdings = {name: self._holding(name, position) for name, position in self.positions.items()}
        worth = 0
        for name, holding in self.holdings.items():
            worth += amount_received(holding.mark, holding.lots, self.terms(name))
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

    def instrument(self, symbol: str) -> Instrument:
        """The steps in which one of the batch's or of the held symbols is traded."""
        return self._instruments[symbol]

    def terms(self, symbol: str, oldest_seconds: float | None = None) -> Terms:
        """`oldest_seconds` is the limit on the age of the market data where the account sets none."""
        return cached_terms(self._instruments[symbol], self.policy, self.limits, self.money_step, oldest_seconds)

    def close(self, symbol: Symbol, snapshot: Snapshot, closed: datetime) -> Trade | None:
        """What a candle did to the levels of a position, and the account valued at its close. The trade of an exit."""
        name, values = symbol.symbol, snapshot.values
        self._record_step("close", name, snapshot.interval, closed)
        instrument, terms, trade = self._instruments[name], self.terms(name), None
        open_, high, low, close = instrument.tick_row([values[price] for price in PRICES])
        position, day = self.positions.get(name), day_of(snapshot.open_time)
        self.books, holding, event = candle(
            self.books, self.holdings.get(name, FLAT), open_, high, low, close, day, terms
        )
        if event.outcome == EXECUTED and position is not None:
            reason = REASONS[event.reason]
            trade = self._record_fill(symbol, holding, event, snapshot.open_time, f"exit-{position.pk}", None, reason)
        if position is not None and holding.lots and holding != self.holdings[name]:
            position.mark = float(instrument.price(holding.mark))
            position.high = float(instrument.price(holding.high))
            self.marked[id(position)] = position
            self.holdings[name] = holding
        balance, equity = (
            self.money(self.books.cash) + self.entry_cost(),
            self.money(self.books.cash + self.books.worth),
        )
        # A second market of the same moment replaces the point.
        self.points[closed] = EquityPoint(account=self.account, time=closed, balance=balance, equity=equity)
        return trade

    def decide(
        self, symbol: str, snapshot: Snapshot, closed: datetime, action: Action, confidence: float
    ) -> tuple[Decimal, float]:
        """The quantity that a decision at a close asks for, and its risk score."""
        self._record_step("decide", symbol, snapshot.interval, closed)
        instrument, terms, price = self._instruments[symbol], self.terms(symbol), snapshot.values["close"]
        noise, holding = snapshot.values["volatility"] / price, self.holdings.get(symbol, FLAT)
        lots = proposed_lots(self.books, holding, int(action), instrument.ticks(price), confidence, noise, terms)
        return instrument.quantity(lots), risk_score(confidence, noise, terms.stop_distance)

    def execute(
        self,
        kind: str,
        symbol: Symbol,
        interval: str,
        known_until: datetime,
        action: Action,
        quantity: Decimal,
        price: Price,
        order_id: str,
        decision: Decision | None = None,
    ) -> Trade | Refusal:
        """A decision (`kind` open) or an order by hand (`kind` manual) meets a price: through the gate to a fill.

        `known_until` is the close up to which the market was known.
        """
        name, oldest = symbol.symbol, price.oldest_seconds if decision else None
        self._record_step(kind, name, interval, known_until)
        instrument, terms, before = self._instruments[name], self.terms(name, oldest), self.holdings.get(name, FLAT)
        tick, lots = instrument.ticks(price.price), instrument.lots(quantity)
        age = max((price.time - known_until).total_seconds(), 0.0) + price.age_seconds
        self.books, holding, event = at_open(
            self.books, before, int(action), lots, tick, day_of(price.time), age, terms
        )
        if event.outcome != EXECUTED:
            code = Code(OUTCOMES[event.outcome])
            return Refusal(code, refusal_text(code, self.books, before, lots, tick, age, instrument, terms))
        reason = Reason.SIGNAL if decision else Reason.MANUAL
        return self._record_fill(symbol, holding, event, price.time, order_id, decision, reason)

    def _record_step(self, kind: str, symbol: str, interval: str, time: datetime) -> None:
        """The order in which things are handled is the order of events."""
        self.steps.append([kind, symbol, interval, time.isoformat()])

    @property
    def equity(self) -> int:
        """In money steps, at the last marks."""
        return self.books.cash + self.books.worth

    def entry_cost(self) -> Decimal:
        """What was paid for the positions that are open."""
        return self.money(sum(holding.cost for holding in self.holdings.values()))

    def money(self, steps: int) -> Decimal:
        return steps * self.money_step

    def _record_fill(
        self,
        symbol: Symbol,
        holding: Holding,
        event: Event,
        time: datetime,
        order_id: str,
        decision: Decision | None,
        reason: Reason,
    ) -> Trade:
        """Order, trade, cash entry and position of a fill after which this is held."""
        name, account = symbol.symbol, self.account
        instrument, money_step, sold = self._instruments[name], self.money_step, event.action != BUY
        order = Order(
            account=account,
            symbol=symbol,
            decision=decision,
            client_order_id=order_id,
            action="SELL" if sold else "BUY",
            quantity=event.lots * instrument.lot_step,
            requested_price=event.requested * instrument.price_tick,
            reason=reason,
        )
        trade = Trade(
            order=order,
            account=account,
            symbol=symbol,
            action=order.action,
            quantity=order.quantity,
            price=event.price * instrument.price_tick,
            slippage=abs(event.price - event.requested) * instrument.price_tick,
            amount=event.amount * money_step,
            commission=event.commission * money_step,
            pnl=event.profit * money_step if sold else None,
            cost=event.cost * money_step if sold else None,
            timestamp=time,
        )
        paid = (event.amount if sold else -event.amount) - event.commission
        entry = CashEntry(account=account, trade=trade, amount=paid * money_step, balance=self.books.cash * money_step)
        self.orders.append(order)
        self.trades.append(trade)
        self.entries.append(entry)
        position = self.positions.get(name)
        if position is None:
            position = Position(account=account, symbol=symbol, opened_at=time, quantity=ZERO, entry_price=ZERO)
            self.positions[name] = position
        if sold:
            position.pnl += trade.pnl or ZERO
            position.sold_cost += trade.cost or ZERO
        else:
            position.entry_price = entry_price(position.quantity, position.entry_price, trade.quantity, trade.price)
            position.stop_loss = holding.stop * instrument.price_tick if holding.stop else None
            position.take_profit = holding.target * instrument.price_tick if holding.target else None
            position.trailing = self.policy.trailing_stop
            position.mark = float(holding.mark * instrument.price_tick)
            position.high = float(holding.high * instrument.price_tick)
        position.quantity, position.cost = holding.lots * instrument.lot_step, holding.cost * money_step
        self.holdings[name] = holding
        if not holding.lots:
            position.closed_at = time
            del self.positions[name], self.holdings[name]
        self.traded[id(position)] = position
        return trade

    def _holding(self, symbol: str, position: Position) -> Holding:
        instrument = self._instruments[symbol]
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
        steps, rest = divmod(amount, self.money_step)
        if rest:
            raise ValueError(f"account {self.account.pk} holds {amount}, not in whole steps of {self.money_step}")
        return int(steps)

    def settle(self) -> list[str]:
        """Brings the row of the account to what the books say; the fields that differ from what was read."""
        account, books = self.account, self.books
        account.cash, account.realised = self.money(books.cash), self.money(books.realised)
        account.commissions, account.equity = self.money(books.commissions), self.money(self.equity)
        account.peak_equity, account.day_start_equity = self.money(books.peak), self.money(books.day_start)
        account.day = None if books.day < 0 else EPOCH + timedelta(days=books.day)
        account.entries_today = books.entries
        account.sessions += bool(self.steps)
        names = [field.attname for field in account._meta.concrete_fields]
        return [name for name in names if getattr(account, name) != self._stored[name]]

    def saved(self) -> None:
        """What has happened is written: it must not be written again."""
        for rows in (self.orders, self.trades, self.entries, self.lines, self.steps):
            rows.clear()
        for changed in (self.traded, self.marked, self.points):
            changed.clear()
        self._stored = dict(self.account.__dict__)


def entry_price(before: Decimal, price_before: Decimal, quantity: Decimal, price: Decimal) -> Decimal:
    """The mean price of a position that grows from `before` by `quantity`."""
    if not before:
        return price
    mean = ENTRY_PRICE_DIGITS.divide(price_before * before + price * quantity, before + quantity)
    return mean.quantize(ENTRY_PRICE_STEP, ROUND_HALF_EVEN)


def locked_sessions(accounts: Collection[int], symbols: Collection[Symbol]) -> list[AccountSession]:
    """The sessions of these accounts, locked in one order so that two workers cannot wait for each other."""
    return _sessions(fetch(Account, LOCKED_BY_KEY, keys=accounts), symbols)


def concerned_sessions(messages: Sequence[Message]) -> list[AccountSession]:
    """Those of the accounts that trade one of the markets of these snapshots or hold its symbol, locked likewise."""
    locked = fetch(Account, LOCKED_CONCERNED, snapshots=[message.pk for message in messages])
    return _sessions(locked, {message.symbol for message in messages})


def _sessions(locked: Sequence[Account], symbols: Collection[Symbol]) -> list[AccountSession]:
    """All but the accounts is read after they are locked: until then a worker may trade, or a user change a setting."""
    if not locked:
        return []
    keys, known = [account.pk for account in locked], {symbol.pk: symbol for symbol in symbols}
    follows = fetch(Follow, FOLLOWED_BY, accounts=keys, symbols=list(known)) if known else []
    settings = {row.account_id: row for row in fetch(TradingSettings, SETTINGS_OF, accounts=keys)}
    held = fetch(Position, OPEN_POSITIONS_OF, accounts=keys)
    if unknown := {position.symbol_id for position in held} - known.keys():
        known |= Symbol.objects.in_bulk(unknown)
    positions: dict[int, dict[str, Position]] = {key: {} for key in keys}
    for position in held:
        position.symbol = known[position.symbol_id]
        positions[position.account_id][position.symbol.symbol] = position
    followed: dict[int, set[int]] = {key: set() for key in keys}
    for follow in follows:
        followed[follow.account_id].add(follow.symbol_id)
    return [
        AccountSession(row, settings[row.pk], positions[row.pk], frozenset(followed[row.pk]), symbols) for row in locked
    ]


def save(sessions: Sequence[AccountSession]) -> None:
    """Writes all that has happened in these sessions, in the order in which rows refer to each other."""
    for session in sessions:
        if changed := session.settle():
            update(session.account, changed)
    insert([row for session in sessions for row in session.orders])
    insert([row for session in sessions for row in session.trades])
    insert([row for session in sessions for row in session.entries])
    insert([row for session in sessions for row in session.lines])
    traded = {key: row for session in sessions for key, row in session.traded.items()}
    marked = [row for session in sessions for key, row in session.marked.items() if key not in traded]
    # What was closed makes room for what was opened: there is one open position in a symbol.
    for row in traded.values():
        if row.pk is not None:
            update(row)
    insert([row for row in traded.values() if row.pk is None])
    # A close gives all positions in a symbol the same mark.
    alike: dict[tuple[float, float], list[int]] = defaultdict(list)
    for row in marked:
        alike[row.mark, row.high].append(row.pk)
    for (mark, high), keys in alike.items():
        Position.objects.filter(pk__in=keys).update(mark=mark, high=high)
    points = [row for session in sessions for row in session.points.values()]
    insert(points, updates=["balance", "equity"], unique=["account", "time"])
    insert([
        SessionRecord(account=session.account, number=session.account.sessions, steps=session.steps)
        for session in sessions
        if session.steps
    ])  # fmt: skip
    for session in sessions:
        session.saved()


RULES = (
    *("confidence_threshold", "risk_level", "stop_loss", "take_profit", "trailing_stop", "max_position"),
    *("max_exposure", "max_daily_loss", "max_drawdown", "max_entries_per_day", "max_open_positions"),
    *("max_quote_age_seconds", "kill_switch"),
)
"""The settings that the engine's rules are made of."""


@lru_cache(maxsize=1024)
def rules_of(
    threshold: Decimal,
    risk_level: str,
    stop_loss: Decimal | None,
    take_profit: Decimal | None,
    trailing_stop: Decimal | None,
    max_position: Decimal,
    *limits: Any,
) -> tuple[Policy, Limits]:
    """What settings say to the engine, in the order of RULES."""
    policy = Policy(
        confidence_threshold=float(threshold),
        max_position=float(max_position),
        risk_per_trade=RISK_PER_TRADE[risk_level],
        stop_loss=_optional(stop_loss),
        take_profit=_optional(take_profit),
        trailing_stop=_optional(trailing_stop),
    )
    return policy, Limits(max_position, *limits)


@lru_cache(maxsize=4096)
def cached_terms(
    instrument: Instrument, policy: Policy, limits: Limits, money_step: Decimal, oldest_seconds: float | None
) -> Terms:
    if oldest_seconds is not None and limits.max_quote_age_seconds is None:
        limits = replace(limits, max_quote_age_seconds=oldest_seconds)
    return terms_of(Rules(instrument, COSTS, policy, limits), money_step)


def day_of(time: datetime) -> int:
    """The UTC day of a time in UTC, counted from 1970."""
    return (time.date() - EPOCH).days


def _optional(fraction: Decimal | None) -> float | None:
    return None if fraction is None else float(fraction)


def _level(price: Decimal | None, instrument: Instrument, rounding: str) -> int:
    """A protective level in ticks, 0 for none; to the worse tick where the tick has changed since it was set."""
    if price is None:
        return 0
    # Not below one tick, since 0 stands for no level.
    return max(int((price / instrument.price_tick).to_integral_value(rounding)), 1)
