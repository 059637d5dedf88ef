"""The audit: everything is computed again from orders and trades alone and compared with what is stored."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Coalesce

from engine.orders import CENT, ZERO, Action, rounded
from market.instruments import COIN_STEP
from trading.books.consistent_read import one_view
from trading.books.session import entry_price
from trading.models import Account, CashEntry, Decision, Message, Position, Trade
from trading.models import Order as OrderRow

Differences = Iterator[str]


def differences(accounts: "QuerySet[Account]") -> list[str]:
    """A line for each thing that is not as it should be; none means that all books add up.

    All is read at one moment, so that agents at work beside it make no difference.
    """
    with one_view():
        return list(_differences(accounts))


def _differences(accounts: "QuerySet[Account]") -> Differences:
    for account in accounts.select_related("user").order_by("pk").iterator():
        for line in _of_account(account):
            yield f"{account}: {line}"
    yield from _messages()


def _of_account(account: Account) -> Differences:
    yield from _books(account)
    yield from _orders(account)
    yield from _journal(account)
    yield from _decisions(account)


@dataclass
class Held:
    """An open position as its trades leave it."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    entry_price: Decimal = ZERO


def _books(account: Account) -> Differences:
    cash, realised, commissions = account.initial_balance, ZERO, ZERO
    positions: dict[str, Held] = defaultdict(Held)
    trades = Trade.objects.filter(account=account).select_related("symbol").order_by("pk")
    for trade in trades.iterator():
        held, profit = positions[trade.symbol.symbol], None
        if trade.action == Action.BUY.name:
            paid = trade.amount + trade.commission
            held.entry_price = entry_price(held.quantity, held.entry_price, trade.quantity, trade.price)
            held.quantity, held.cost, cash = held.quantity + trade.quantity, held.cost + paid, cash - paid
        elif trade.quantity > held.quantity:
            yield f"trade {trade.pk} cannot have happened: it sells {trade.quantity} of {held.quantity}"
            return
        else:
            costs = _shares(held, trade.quantity)
            # A share that is not one of them shows as a difference of the profit.
            cost = trade.cost if trade.cost in costs else costs[0]
            profit = trade.amount - trade.commission - cost
            held.quantity, held.cost = held.quantity - trade.quantity, held.cost - cost
            cash, realised = cash + trade.amount - trade.commission, realised + profit
        commissions += trade.commission
        if cash < 0:
            yield f"trade {trade.pk} cannot have happened: cash would be {cash}"
            return
        yield from _compared(f"pnl of trade {trade.pk}", profit, trade.pnl)
    yield from _compared("cash", cash, account.cash)
    yield from _compared("realised profit", realised, account.realised)
    yield from _compared("commissions", commissions, account.commissions)
    yield from _positions(account, {name: held for name, held in positions.items() if held.quantity})


def _shares(held: Held, quantity: Decimal) -> list[Decimal]:
    """The entry cost of a sale: all of it, or its share in one of the money steps that an account can have."""
    if quantity == held.quantity:
        return [held.cost]
    return [rounded(held.cost * quantity / held.quantity, step) for step in (CENT, COIN_STEP)]


def _positions(account: Account, positions: dict[str, Held]) -> Differences:
    rows = {row.symbol.symbol: row for row in _open_positions(account)}
    for name in sorted(rows.keys() | positions.keys()):
        row, held = rows.get(name), positions.get(name)
        if row is None or held is None:
            yield f"position in {name}: {'not stored' if row is None else 'no trades that would leave it'}"
            continue
        yield from _compared(f"quantity of {name}", held.quantity, row.quantity)
        yield from _compared(f"cost of {name}", held.cost, row.cost)
        yield from _compared(f"entry price of {name}", held.entry_price, row.entry_price)


def _orders(account: Account) -> Differences:
    for order in OrderRow.objects.filter(account=account, trade__isnull=True).order_by("pk"):
        yield f"order {order.pk} ({order}) has no trade"
    for trade in Trade.objects.filter(account=account).select_related("order").iterator():
        order = trade.order
        asked = (order.account_id, order.symbol_id, order.action, order.quantity)
        if asked != (trade.account_id, trade.symbol_id, trade.action, trade.quantity):
            yield f"trade {trade.pk} is not what its order {order.pk} asked for"


def _journal(account: Account) -> Differences:
    balance = ZERO
    entries = CashEntry.objects.filter(account=account).select_related("trade").order_by("pk")
    for entry in entries.iterator():
        balance += entry.amount
        yield from _compared(f"balance after cash entry {entry.pk}", balance, entry.balance)
        if entry.trade is not None:
            yield from _compared(f"amount of cash entry {entry.pk}", _cash_of(entry.trade), entry.amount)
    yield from _compared("cash by the journal", balance, account.cash)
    for trade in Trade.objects.filter(account=account, cash_entry__isnull=True):
        yield f"trade {trade.pk} has no cash entry"


def _decisions(account: Account) -> Differences:
    messages = Message.objects.filter(account=account)
    reports = defaultdict(list)
    for report in messages.filter(type=Message.Type.EXECUTION_REPORT).iterator():
        reports[report.caused_by_id].append(report.payload["status"])
    published = messages.filter(type=Message.Type.TRADE_DECISION)
    by_decision = {row.payload["decision_id"]: row for row in published.iterator()}
    for decision in Decision.objects.filter(account=account).select_related("order").order_by("pk").iterator():
        message = by_decision.pop(decision.pk, None)
        if message is None:
            yield f"decision {decision.pk} has no message"
        else:
            yield from _outcome(decision, message, reports[message.pk])
    for pk in by_decision:
        yield f"decision {pk} has a message, and is not stored"


def _outcome(decision: Decision, message: Message, reports: list[str]) -> Differences:
    if decision.status == Decision.Status.PENDING:
        if reports or message.processed_at or message.parked_at:
            yield f"decision {decision.pk} has no outcome, and none is on its way"
        return
    if reports != [decision.status]:
        yield f"decision {decision.pk} is {decision.status}, and was reported as {' and '.join(reports) or 'nothing'}"
    if (decision.status == Decision.Status.EXECUTED) != hasattr(decision, "order"):
        yield f"decision {decision.pk} is {decision.status}, and its order says otherwise"


def _messages() -> Differences:
    for message in Message.objects.filter(parked_at__isnull=False).order_by("pk"):
        yield f"message {message.pk} ({message}) is parked: {message.error}"
    # A market is decided on candle by candle: what waits is on its way until a later candle has been decided on.
    overtakers = Message.objects.filter(
        type=Message.Type.MARKET_SNAPSHOT,
        symbol=OuterRef("symbol"),
        interval=OuterRef("interval"),
        pk__gt=Coalesce(OuterRef("caused_by"), OuterRef("pk")),
        processed_at__isnull=False,
    )
    waiting = Message.objects.filter(processed_at=None, parked_at=None)
    for message in waiting.filter(Exists(overtakers)).order_by("pk"):
        yield f"message {message.pk} ({message}) was left behind"


def _compared(what: str, computed: Decimal | None, stored: Decimal | None) -> Differences:
    if computed != stored:
        yield f"{what} is stored as {stored}, and comes to {computed}"


def _cash_of(trade: Trade) -> Decimal:
    if trade.action == "BUY":
        return -(trade.amount + trade.commission)
    return trade.amount - trade.commission


def _open_positions(account: Account) -> "QuerySet[Position]":
    return Position.objects.filter(account=account, closed_at=None).select_related("symbol")
