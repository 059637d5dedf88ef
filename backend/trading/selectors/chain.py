"""What hangs together: snapshot, decision, order, trade and report, found from any of them."""

from dataclasses import dataclass

from trading.models import Decision, Message, Order, Trade


@dataclass(frozen=True)
class Chain:
    """None for what has not come to be; protective exits and orders by hand have no decision."""

    snapshot: Message | None = None
    decision: Decision | None = None
    told: Message | None = None
    order: Order | None = None
    trade: Trade | None = None
    report: Message | None = None


def chain_of_decision(decision: Decision) -> Chain:
    own = Message.objects.filter(account=decision.account_id)
    told = own.filter(caused_by=decision.snapshot_id, type=Message.Type.TRADE_DECISION).first()
    order = Order.objects.filter(decision=decision).first()
    return Chain(decision.snapshot, decision, told, order, _trade(order), _report(told))


def chain_of_order(order: Order) -> Chain:
    if order.decision is not None:
        return chain_of_decision(order.decision)
    reports = Message.objects.filter(account=order.account_id, type=Message.Type.EXECUTION_REPORT)
    report = reports.filter(symbol=order.symbol_id, payload__order_id=order.client_order_id).first()
    return Chain(snapshot=report.caused_by if report else None, order=order, trade=_trade(order), report=report)


def chain_of_message(message: Message) -> Chain:
    """Of a snapshot nothing but itself: each account that follows its market has a decision on it."""
    if message.type == Message.Type.MARKET_SNAPSHOT:
        return Chain(snapshot=message)
    if message.type == Message.Type.TRADE_DECISION:
        decision = Decision.objects.filter(pk=message.payload.get("decision_id")).first()
        return chain_of_decision(decision) if decision else Chain(snapshot=message.caused_by, told=message)
    cause = message.caused_by
    if cause is not None and cause.type == Message.Type.TRADE_DECISION:
        return chain_of_message(cause)
    order = Order.objects.filter(account=message.account_id, client_order_id=message.payload.get("order_id")).first()
    return Chain(snapshot=cause, order=order, trade=_trade(order), report=message)


def _trade(order: Order | None) -> Trade | None:
    return None if order is None else Trade.objects.filter(order=order).first()


def _report(told: Message | None) -> Message | None:
    if told is None:
        return None
    return Message.objects.filter(caused_by=told, type=Message.Type.EXECUTION_REPORT).first()
