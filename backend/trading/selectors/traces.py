"""The rows that belong together: snapshot, decision, order, trade and report, found from any of them."""

from dataclasses import dataclass

from trading.models import Decision, Message, Order, Trade


@dataclass(frozen=True)
class Trace:
    """None for a row that does not exist (yet); protective exits and manual orders have no decision."""

    snapshot: Message | None = None
    decision: Decision | None = None
    decision_message: Message | None = None
    order: Order | None = None
    trade: Trade | None = None
    report: Message | None = None

    @property
    def fills(self) -> list[Trade]:
        return [] if self.trade is None else [self.trade]


def trace_of_decision(decision: Decision) -> Trace:
    own = Message.objects.filter(account=decision.account_id)
    # By cause, which is indexed, and not by correlation id, which all accounts of a market share.
    message = own.filter(caused_by=decision.snapshot_id, type=Message.Type.TRADE_DECISION).first()
    report = own.filter(caused_by=message, type=Message.Type.EXECUTION_REPORT).first() if message else None
    order = Order.objects.filter(decision=decision).select_related("trade__symbol").first()
    return Trace(decision.snapshot, decision, message, order, _trade(order), report)


def trace_of_order(order: Order) -> Trace:
    if order.decision is not None:
        return trace_of_decision(order.decision)
    reports = Message.objects.filter(account=order.account_id, type=Message.Type.EXECUTION_REPORT)
    report = reports.filter(symbol=order.symbol_id, payload__order_id=order.client_order_id).first()
    return Trace(snapshot=report.caused_by if report else None, order=order, trade=_trade(order), report=report)


def trace_of_message(message: Message) -> Trace:
    """A snapshot's trace is the snapshot alone: every account that follows its market has a decision on it."""
    if message.type == Message.Type.MARKET_SNAPSHOT:
        return Trace(snapshot=message)
    if message.type == Message.Type.TRADE_DECISION:
        decision = Decision.objects.filter(pk=message.payload.get("decision_id")).first()
        return trace_of_decision(decision) if decision else Trace(message.caused_by, decision_message=message)
    cause = message.caused_by
    if cause is not None and cause.type == Message.Type.TRADE_DECISION:
        return trace_of_message(cause)
    order = Order.objects.filter(account=message.account_id, client_order_id=message.payload.get("order_id")).first()
    return Trace(snapshot=cause, order=order, trade=_trade(order), report=message)


def _trade(order: Order | None) -> Trade | None:
    return getattr(order, "trade", None)
