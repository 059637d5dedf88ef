"""Do the books add up? Everything is computed again from orders and trades alone and compared with what is stored."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Coalesce

from engine.ledger import Book, LedgerError, apply
from engine.orders import ZERO, Action, Fill, Order, Reason
from trading.books.consistent_read import one_view
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


def _books(account: Account) -> Differences:
    book = Book(account.initial_balance)
    trades = Trade.objects.filter(account=account).select_related("order", "symbol").order_by("pk")
    for trade in trades.iterator():
        before = book
        try:
            book = apply(before, _fill(trade))
        except LedgerError as error:
            yield f"trade {trade.pk} cannot have happened: {error}"
            return
        profit = None if trade.action == "BUY" else book.realised - before.realised
        yield from _compared(f"pnl of trade {trade.pk}", profit, trade.pnl)
    yield from _compared("cash", book.cash, account.cash)
    yield from _compared("realised profit", book.realised, account.realised)
    yield from _compared("commissions", book.commissions, account.commissions)
    yield from _positions(account, book)


def _positions(account: Account, book: Book) -> Differences:
    rows = {row.symbol.symbol: row for row in _open_positions(account)}
    for name in sorted(rows.keys() | book.positions.keys()):
        row, held = rows.get(name), book.positions.get(name)
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
        told = (order.account_id, order.symbol_id, order.action, order.quantity)
        if told != (trade.account_id, trade.symbol_id, trade.action, trade.quantity):
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
    told = messages.filter(type=Message.Type.TRADE_DECISION)
    by_decision = {row.payload["decision_id"]: row for row in told.iterator()}
    for decision in Decision.objects.filter(account=account).select_related("order").order_by("pk").iterator():
        message = by_decision.pop(decision.pk, None)
        if message is None:
            yield f"decision {decision.pk} was told to nobody"
        else:
            yield from _outcome(decision, message, reports[message.pk])
    for pk in by_decision:
        yield f"decision {pk} was told, and is not there"


def _outcome(decision: Decision, message: Message, reports: list[str]) -> Differences:
    if decision.status == Decision.Status.PENDING:
        if reports or message.processed_at or message.parked_at:
            yield f"decision {decision.pk} has no outcome, and nobody will give it one"
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


def _fill(trade: Trade) -> Fill:
    row = trade.order
    order = Order(trade.symbol.symbol, Action[trade.action], trade.quantity, row.requested_price, Reason(row.reason))
    return Fill(order, trade.timestamp, trade.price, trade.slippage, trade.amount, trade.commission)


def _cash_of(trade: Trade) -> Decimal:
    if trade.action == "BUY":
        return -(trade.amount + trade.commission)
    return trade.amount - trade.commission


def _open_positions(account: Account) -> "QuerySet[Position]":
    return Position.objects.filter(account=account, closed_at=None).select_related("symbol")
