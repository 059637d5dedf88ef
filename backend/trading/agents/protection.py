"""Protective exits: what a candle did to the levels of a position, before anything is decided at its close."""

import numpy as np

from engine.fills import execution_report, fill
from engine.orders import Action, Reason
from engine.protect import Exit, first_exit, followed
from engine.replay import protective_order
from engine.risk import Rules
from engine.snapshot import Snapshot
from market.instruments import stored_instrument
from trading.agents import journal
from trading.books.session import Desk
from trading.models import AgentType, Message


def enforce(desk: Desk, message: Message, snapshot: Snapshot) -> Message | None:
    """Sells the position whose level the candle reached. The report, or None when nothing was reached."""
    if snapshot.symbol not in desk.positions or (levels := desk.guard(snapshot.symbol)) is None:
        return None
    values = snapshot.values
    high = np.array([values["high"]])
    found = first_exit(levels, np.array([values["open"]]), high, np.array([values["low"]]))
    if found is None:
        desk.follow_high(snapshot.symbol, followed(levels, high).high)
        return None
    return _sell(desk, message, snapshot, found)


def _sell(desk: Desk, message: Message, snapshot: Snapshot, found: Exit) -> Message:
    instrument = stored_instrument(message.symbol)
    rules: Rules = desk.rules(instrument)
    order = protective_order(found, desk.book(), rules)
    position = desk.positions[snapshot.symbol]
    client_order_id = f"exit-{position.pk}"
    done = fill(order, instrument, rules.costs, snapshot.open_time)
    trade = desk.record(done, message.symbol, instrument, client_order_id, decision=None)
    journal.traded(desk, trade, Reason(found.reason), message)
    return Message(
        key=f"exit:{message.pk}:{desk.account.pk}",
        type=Message.Type.EXECUTION_REPORT,
        sender=AgentType.EXECUTION,
        payload=execution_report(done, Action.SELL, snapshot.symbol, client_order_id, snapshot.close_time),
        symbol=message.symbol,
        interval=message.interval,
        account=desk.account,
        caused_by=message,
        correlation_id=message.correlation_id,
        processed_at=message.created_at,
    )
