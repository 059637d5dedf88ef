"""Orders by hand: through the same gate, fill model and ledger as those of the agents, under the same lock."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from uuid import uuid4

from django.db import transaction
from msgspec.structs import replace

from engine.candles import interval_length
from engine.decide import Decision as Made
from engine.fills import execution_report, fill
from engine.orders import Action, Fill, Order, Quote, Reason, Refusal
from engine.risk import exit_order, gate
from market.errors import MarketError
from market.instruments import stored_instrument
from market.models import Candle, Symbol
from market.sources.replay import Price
from trading.agents import journal
from trading.books.idempotency import Answer, Once
from trading.books.session import Desk, desks_of, price_age, save_accounts
from trading.errors import NoPrice, PositionClosed
from trading.messages.adapter import DjangoAgentAdapter
from trading.models import Account, AgentType, Message, Position, Trade
from trading.runtime import on_demand

Outcome = Trade | Refusal


@dataclass(frozen=True, slots=True)
class Ticket:
    """What somebody wants to trade. The price is the platform's business."""

    action: Action
    symbol: Symbol
    quantity: Decimal

    def __str__(self) -> str:
        return f"{self.action.name} {self.quantity.normalize():f} {self.symbol}"


@dataclass(frozen=True, slots=True)
class Moment:
    """The first price that can be had, and the close up to which the market is known."""

    known_until: datetime
    price: Price


def price_now(account: Account, symbol: Symbol) -> Moment:
    """Asked before anything is locked: a source may take its time. Raises NoPrice."""
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


def order_once(once: Once, ticket: Ticket, say: Callable[[Outcome], Answer]) -> Answer:
    """Carries out the ticket, unless its key was seen before, and keeps what was said. Raises NoPrice, KeyReused."""
    if known := once.answer():
        return known
    moment = price_now(once.account, ticket.symbol)
    with transaction.atomic():
        (desk,) = desks_of([once.account.pk])
        # Again, now that whoever came first is done with the account.
        if known := once.answer():
            return known
        answer = say(_place(desk, ticket, moment, _order_id(once)))
        once.keep(answer)
    return answer


def close_position(account: Account, position: Position) -> Trade:
    """Sells all of it. No limit holds it up. Raises NoPrice and PositionClosed."""
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
        # The id of a protective exit, too: whoever comes first has closed it.
        return _fill(desk, position.symbol, order, moment.price, f"exit-{position.pk}")


def _place(desk: Desk, ticket: Ticket, moment: Moment, order_id: str) -> Outcome:
    instrument = stored_instrument(ticket.symbol)
    quote = Quote(instrument.price(moment.price.price), price_age(moment.known_until, moment.price))
    desk.begin_day(moment.price.time.date())
    made = _made(ticket, moment, quote)
    result = gate(made, desk.book(), desk.standing(made.symbol, quote.price), quote, desk.rules(instrument))
    if isinstance(result, Refusal):
        return result
    return _fill(desk, ticket.symbol, replace(result, reason=Reason.MANUAL), moment.price, order_id)


def _made(ticket: Ticket, moment: Moment, quote: Quote) -> Made:
    """What the gate looks at: a decision of somebody who is sure."""
    return Made(
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


def _order_id(once: Once) -> str:
    """A function of the key, so that the database, too, lets it be placed only once."""
    said = f"{once.account.pk}:{once.key}" if once.key else uuid4().hex
    return f"manual-{sha256(said.encode()).hexdigest()[:28]}"
