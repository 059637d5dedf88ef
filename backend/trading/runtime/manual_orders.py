"""Manual orders, through the same gate, fill model and ledger as those of the agents, under the same lock."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from uuid import uuid4

from django.db import transaction
from msgspec.structs import replace

from engine.candles import interval_length
from engine.decide import Decision as ProposedDecision
from engine.fills import execution_report, fill
from engine.orders import Action, Fill, Order, Quote, Reason, Refusal
from engine.risk import exit_order, gate
from market.errors import MarketError
from market.instruments import stored_instrument
from market.models import Candle, Symbol
from market.sources.replay import Price
from trading.agents import journal
from trading.books.idempotency import IdempotentRequest, StoredResponse
from trading.books.session import Desk, desks_of, price_age, save_accounts
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
    # A live market is known up to its price; a played one up to its last candle.
    return Moment(closed if price.oldest_seconds is None else price.time, price)


def place_order(
    request: IdempotentRequest, ticket: Ticket, respond: Callable[[OrderResult], StoredResponse]
) -> StoredResponse:
    """Places the order, or returns the stored response of its key. Raises NoPrice, KeyReused."""
    if known := request.stored_response():
        return known
    moment = price_now(request.account, ticket.symbol)
    with transaction.atomic():
        (desk,) = desks_of([request.account.pk])
        # Again: another request with the key may have held the lock.
        if known := request.stored_response():
            return known
        response = respond(_place(desk, ticket, moment, _order_id(request)))
        request.keep(response)
    return response


def close_position(account: Account, position: Position) -> Trade:
    """Sells the whole position; no limit applies. Raises NoPrice and PositionClosed."""
    if position.closed_at is not None:
        raise PositionClosed(f"Position {position.pk} is closed already.")
    moment = price_now(account, position.symbol)
    with transaction.atomic():
        (desk,) = desks_of([account.pk])
        held = desk.positions.get(position.symbol.symbol)
        if held is None or held.pk != position.pk:
            raise PositionClosed(f"Position {position.pk} is closed already.")
        price = stored_instrument(position.symbol).price(moment.price.price)
        desk.begin_day(moment.price.time.date())
        order = exit_order(position.symbol.symbol, held.quantity, price, Reason.MANUAL)
        # The id of a protective exit as well, so that the position is closed once.
        return _fill(desk, position.symbol, order, moment.price, f"exit-{position.pk}")


def _place(desk: Desk, ticket: Ticket, moment: Moment, order_id: str) -> OrderResult:
    instrument = stored_instrument(ticket.symbol)
    quote = Quote(instrument.price(moment.price.price), price_age(moment.known_until, moment.price))
    desk.begin_day(moment.price.time.date())
    proposed = _proposed(ticket, moment, quote)
    result = gate(proposed, desk.book(), desk.standing(proposed.symbol, quote.price), quote, desk.rules(instrument))
    if isinstance(result, Refusal):
        return result
    return _fill(desk, ticket.symbol, replace(result, reason=Reason.MANUAL), moment.price, order_id)


def _proposed(ticket: Ticket, moment: Moment, quote: Quote) -> ProposedDecision:
    """The input of the gate: a decision with full confidence."""
    return ProposedDecision(
        symbol=ticket.symbol.symbol,
        time=moment.known_until,
        action=ticket.action,
        confidence=1.0,
        risk_score=0.0,
        quantity=float(ticket.quantity),
        price=float(quote.price),
    )


def _fill(desk: Desk, symbol: Symbol, order: Order, price: Price, order_id: str) -> Trade:
    instrument = stored_instrument(symbol)
    done = fill(order, instrument, desk.rules(instrument).costs, price.time)
    trade = desk.record(done, symbol, instrument, order_id, decision=None)
    journal.traded(desk, trade, Reason.MANUAL, _report(desk, symbol, done, order_id))
    save_accounts([desk])
    return trade


def _report(desk: Desk, symbol: Symbol, done: Fill, order_id: str) -> Message:
    return DjangoAgentAdapter(AgentType.EXECUTION).send_message(
        "",
        Message.Type.EXECUTION_REPORT,
        execution_report(done, done.order.action, symbol.symbol, order_id, done.time),
        key=f"by-hand:{order_id}:{desk.account.pk}",
        symbol=symbol,
        interval=desk.settings.interval,
        account=desk.account,
    )


def _order_id(request: IdempotentRequest) -> str:
    """A function of the key: the database refuses a second order under it."""
    said = f"{request.account.pk}:{request.key}" if request.key else uuid4().hex
    return f"manual-{sha256(said.encode()).hexdigest()[:28]}"
