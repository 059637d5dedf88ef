"""The payloads of EXECUTION_REPORT messages, field for field those of the specification's sample."""

from datetime import datetime
from typing import Any

from engine.orders import NOTHING_TO_DO, Action, Code, Reason
from trading.models import Trade

FAILURE = "error"


def fill_report(trade: Trade, order_id: str, reason: Reason, time: datetime) -> dict[str, Any]:
    return {
        **_head(order_id, trade.symbol.symbol, trade.action, time, "executed", reason.value),
        "quantity": float(trade.quantity),
        "requested_price": float(trade.order.requested_price),
        "executed_price": float(trade.price),
        "commission": float(trade.commission),
        "slippage": float(trade.slippage),
        "message": "Trade executed successfully",
    }


def refusal_report(
    code: Code, detail: str, action: Action, symbol: str, order_id: str, time: datetime
) -> dict[str, Any]:
    status = "skipped" if code in NOTHING_TO_DO else "rejected"
    return {**_head(order_id, symbol, action.name, time, status, code.value), **NO_FILL, "message": detail}


def failure_report(error: Exception, action: str, symbol: str, order_id: str, time: datetime) -> dict[str, Any]:
    """Of a decision that was given up."""
    text = f"{type(error).__name__}: {error}"
    return {**_head(order_id, symbol, action, time, "failed", FAILURE), **NO_FILL, "message": text}


NO_FILL: dict[str, Any] = {
    "quantity": 0,
    "requested_price": None,
    "executed_price": None,
    "commission": 0.0,
    "slippage": 0.0,
}


def _head(order_id: str, symbol: str, action: str, time: datetime, status: str, reason_code: str) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "ticker": symbol,
        "action": action,
        "timestamp": time.isoformat().replace("+00:00", "Z"),
        "status": status,
        "reason_code": reason_code,
    }
