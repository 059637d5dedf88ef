"""What an order costs when it happens: one fill model for back-tests, paper trading and parity checks.

Everything is rounded against the trader: a buyer pays up to the next tick and cent, a seller receives down to it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.orders import ZERO, Action, Costs, Fill, Instrument, Order, Refusal


def fill(order: Order, instrument: Instrument, costs: Costs, time: datetime) -> Fill:
    """The order filled in full at its requested price, moved by the slippage rate, with a commission on the amount."""
    price, amount, commission = terms(order.action, order.price, order.quantity, instrument, costs)
    return Fill(order, time, price, abs(price - order.price), amount, commission)


def terms(
    action: Action, requested: Decimal, quantity: Decimal, instrument: Instrument, costs: Costs
) -> tuple[Decimal, Decimal, Decimal]:
    """Price after slippage, amount that changes hands, and commission. A seller gets one tick at the least."""
    if action is Action.BUY:
        price = instrument.tick_up(requested * costs.buying)
        exact_amount = price * quantity
        return price, instrument.pays(exact_amount), instrument.pays(exact_amount * costs.fee_rate)
    price = instrument.tick_down(requested * costs.selling) or instrument.price_tick
    exact_amount = price * quantity
    return price, instrument.receives(exact_amount), instrument.pays(exact_amount * costs.fee_rate)


def cash_bound(order: Order, instrument: Instrument, costs: Costs) -> Decimal:
    """What a BUY cannot cost more than: price, amount and commission are each rounded up by less than a step."""
    highest = order.price * costs.buying + instrument.price_tick
    return highest * order.quantity * costs.with_fee + 2 * instrument.money_step


def execution_report(
    outcome: Fill | Refusal, action: Action, symbol: str, order_id: str, time: datetime
) -> dict[str, Any]:
    """The payload of an EXECUTION_REPORT message. Numbers that did not come to be are None."""
    report = {"order_id": order_id, "ticker": symbol, "action": action.name, "timestamp": _spell(time)}
    if isinstance(outcome, Refusal):
        return {
            **report,
            "status": "skipped" if outcome.skipped else "rejected",
            "reason_code": outcome.code.value,
            "quantity": 0,
            "requested_price": None,
            "executed_price": None,
            "commission": float(ZERO),
            "slippage": float(ZERO),
            "message": outcome.detail,
        }
    return {
        **report,
        "status": "executed",
        "reason_code": outcome.order.reason.value,
        "quantity": float(outcome.order.quantity),
        "requested_price": float(outcome.order.price),
        "executed_price": float(outcome.price),
        "commission": float(outcome.commission),
        "slippage": float(outcome.slippage),
        "message": "Trade executed successfully",
    }


def _spell(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
