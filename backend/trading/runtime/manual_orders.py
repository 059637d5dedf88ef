"""Manual orders, through the same gate, fill model and ledger as those of the agents, under the same lock."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from uuid import uuid4

from django.db import transaction

from engine.candles import interval_length
from engine.orders import Action, Reason
from market.errors import MarketError
from market.models import Candle, Symbol
from market.sources.replay import Price
from trading.agents import journal
from trading.agents.reports import fill_report
from trading.books.idempotency import IdempotentRequest, StoredResponse
from trading.books.session import AccountSession, Refusal, locked_sessions, save
from trading.errors import NoPrice, PositionClosed
from trading.messages.adapter import DjangoAgentAdapter
from trading.models import Account, AgentType, Message, Position, Trade
from trading.runtime import on_demand

OrderResult = Trade | Refusal


@dataclass(frozen=True, slots=True)
class Ticket:
    """The order that a user requests. The platform supplies the price."""

    action: Action
    symbol: Symbol
    quantity: Decimal

    def __str__(self) -> str:
        return f"{self.action.name} {self.quantity.normalize():f} {self.symbol}"


@dataclass(frozen=True, slots=True)
class Moment:
    """The first available price, and the time up to which the market is known."""

    known_until: datetime
    price: Price


def price_now(account: Account, symbol: Symbol) -> Moment:
    """To be called before anything is locked: a request may take seconds. Raises NoPrice."""
    interval = account.settings.interval
    candles = Candle.objects.filter(symbol=symbol, interval=interval).order_by("-open_time")
    opened = candles.values_list("open_time", flat=True).first()
    if opened is None or symbol.price_tick is None:
        raise NoPrice(f"There is no market data of {symbol} at {interval} yet.")
    closed = opened + interval_length(interval)
    try:
        price = on_demand.agents().quote(symbol, interval, closed)
    except MarketError as error:
        raise NoPrice(f"{symbol} at {interval} has no source of prices at the moment.") from error
    if price is None:
        raise NoPrice(f"There is no price of {symbol} at {interval} after {closed:%Y-%m-%d %H:%M} UTC.")
    # A live market is known up to its price; a replayed one up to its last candle.
    return Moment(closed if price.oldest_seconds is None else price.time, price)


def place_order(
    request: IdempotentRequest, ticket: Ticket, respond: Callable[[OrderResult], StoredResponse]
) -> StoredResponse:
    """Places the order, or returns the stored response of its key. Raises NoPrice, KeyReused."""
    if known := request.stored_response():
        return known
    moment = price_now(request.account, ticket.symbol)
    with transaction.atomic():
        (session,) = locked_sessions([request.account.pk], [ticket.symbol])
        # Again: another request with the key may have held the lock.
        if known := request.stored_response():
            return known
        response = respond(_place(session, ticket, moment, _order_id(request)))
        request.keep(response)
    return response


def close_position(account: Account, position: Position) -> Trade:
    """Sells all of it. No limit applies. Raises NoPrice and PositionClosed."""
    closed = PositionClosed(f"Position {position.pk} is closed already.")
    if position.closed_at is not None:
        raise closed
    moment = price_now(account, position.symbol)
    with transaction.atomic():
        (session,) = locked_sessions([account.pk], [position.symbol])
        held = session.positions.get(position.symbol.symbol)
        if held is None or held.pk != position.pk:
            raise closed
        ticket = Ticket(Action.SELL, position.symbol, held.quantity)
        # The id of a protective exit, too: the first of the two closes it.
        outcome = _place(session, ticket, moment, f"exit-{position.pk}")
    if isinstance(outcome, Refusal):
        raise RuntimeError(f"an exit was refused: {outcome.detail}")
    return outcome


def _place(session: AccountSession, ticket: Ticket, moment: Moment, order_id: str) -> OrderResult:
    symbol, interval = ticket.symbol, session.settings.interval
    trade = session.execute(
        "manual", symbol, interval, moment.known_until, ticket.action, ticket.quantity, moment.price, order_id
    )
    if isinstance(trade, Refusal):
        return trade
    report = DjangoAgentAdapter(AgentType.EXECUTION).send_message(
        "",
        Message.Type.EXECUTION_REPORT,
        fill_report(trade, order_id, Reason.MANUAL, moment.price.time),
        key=f"by-hand:{order_id}:{session.account.pk}",
        symbol=symbol,
        interval=interval,
        account=session.account,
    )
    journal.traded(session, trade, Reason.MANUAL, report)
    save([session])
    return trade


def _order_id(request: IdempotentRequest) -> str:
    """A function of the key, so that the database, too, lets it be placed only once."""
    source = f"{request.account.pk}:{request.key}" if request.key else uuid4().hex
    return f"manual-{sha256(source.encode()).hexdigest()[:28]}"
