"""The content of the status page, formatted."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from dashboard import selectors
from dashboard.chart import chart
from market.models import Symbol
from trading.models import Account, AgentState, Decision, Message, Position
from trading.selectors.agents import agent_states
from trading.selectors.portfolio import open_positions

DECISIONS, MESSAGES, LINES = 12, 12, 8
STALE_SECONDS = 60
AGENTS = {
    "MARKET_MONITOR": "Market Monitor",
    "DECISION_MAKER": "Decision Maker",
    "EXECUTION": "Execution Agent",
}


def status_page(account: Account) -> dict[str, Any]:
    now = timezone.now()
    trades, sales, profit = selectors.trade_totals(account)
    positions = [_position(row) for row in open_positions(account)]
    return {
        "account": account,
        "now": now,
        "figures": _figures(account, trades, sales, profit, len(positions)),
        "chart": chart(selectors.newest_equity(account), account.initial_balance),
        "agents": [_agent(state, now) for state in agent_states(account)],
        "markets": [_market(symbol, now) for symbol in selectors.followed_markets(account)],
        "positions": positions,
        "decisions": [_decision(row) for row in selectors.latest_decisions(account, DECISIONS)],
        "messages": [_message(row) for row in selectors.latest_messages(account, MESSAGES)],
        "lines": selectors.latest_log_lines(account, LINES),
    }


@dataclass(frozen=True)
class KeyFigure:
    name: str
    value: str
    note: str = ""
    sign: str = ""


def _figures(account: Account, trades: int, sales: int, profit: Decimal, positions: int) -> list[KeyFigure]:
    change = account.equity - account.initial_balance
    percent = 100 * change / account.initial_balance
    return [
        KeyFigure("Equity", _money(account.equity), f"{change:+,.2f} ({percent:+.2f} %)", _sign(change)),
        KeyFigure("Cash", _money(account.cash), f"of {_money(account.initial_balance)} at the start"),
        KeyFigure(
            "Realised", f"{profit:+,.2f}", f"{sales} sales, {_money(account.commissions)} commissions", _sign(profit)
        ),
        KeyFigure("Trades", f"{trades:,}", f"{positions} open position{'' if positions == 1 else 's'}"),
    ]


def _agent(state: AgentState, now: datetime) -> dict[str, Any]:
    return {
        "name": AGENTS[state.agent_type],
        "status": state.status,
        "when": "no activity yet" if state.last_activity is None else f"active {_ago(state.last_activity, now)}",
        "error": state.error_message,
    }


def _market(symbol: Symbol, now: datetime) -> dict[str, Any]:
    seen: datetime | None = getattr(symbol, "seen_at", None)
    return {
        "symbol": symbol.symbol,
        "opened_at": getattr(symbol, "opened_at", None),
        "close": _price(getattr(symbol, "close", None)),
        "arrived": "no candle yet" if seen is None else f"arrived {_ago(seen, now)}",
        "stale": seen is None or (now - seen).total_seconds() > STALE_SECONDS,
    }


def _position(row: Position) -> dict[str, Any]:
    value = row.quantity * Decimal(repr(row.mark))
    profit = value - row.cost
    return {
        "symbol": row.symbol.symbol,
        "quantity": f"{row.quantity.normalize():f}",
        "entry": _price(row.entry_price),
        "mark": _price(row.mark),
        "profit": f"{profit:+,.2f}",
        "sign": _sign(profit),
        "levels": f"{_price(row.stop_loss)} / {_price(row.take_profit)}",
        "opened_at": row.opened_at,
    }


def _decision(row: Decision) -> dict[str, Any]:
    return {
        "time": row.close_time,
        "symbol": row.symbol.symbol,
        "action": row.action,
        "confidence": f"{100 * row.confidence:.0f} %",
        "reasoning": row.reasoning,
        "status": row.status,
        "reason": row.reason_code.replace("_", " "),
    }


def _message(row: Message) -> dict[str, Any]:
    return {
        "id": row.pk,
        "type": row.type,
        "sender": AGENTS[row.sender],
        "recipient": AGENTS.get(row.recipient, "no recipient"),
        "symbol": row.symbol.symbol,
        "summary": SUMMARY[row.type](row.payload),
        "when": row.created_at,
        "state": "parked" if row.parked_at else "waiting" if row.processed_at is None else "done",
    }


def _summary_of_snapshot(payload: dict[str, Any]) -> str:
    close, rsi = payload["ohlcv"]["close"], payload["indicators"]["rsi14"]
    return f"closed at {_price(close)}, trend {payload['analysis']['trend']}, RSI {rsi:.0f}"


def _summary_of_decision(payload: dict[str, Any]) -> str:
    return f"{payload['action']} with confidence {payload['confidence']:.2f}, risk {payload['risk_score']:.2f}"


def _summary_of_report(payload: dict[str, Any]) -> str:
    if payload["status"] != "executed":
        return f"{payload['action']} {payload['status']}: {payload['message']}"
    return f"{payload['action']} {payload['quantity']:g} at {_price(payload['executed_price'])}"


SUMMARY: dict[str, Callable[[dict[str, Any]], str]] = {
    Message.Type.MARKET_SNAPSHOT: _summary_of_snapshot,
    Message.Type.TRADE_DECISION: _summary_of_decision,
    Message.Type.EXECUTION_REPORT: _summary_of_report,
}


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _price(price: float | Decimal | None) -> str:
    return "none" if price is None else f"{price:,.2f}" if price >= 10 else f"{price:.6g}"


def _sign(amount: Decimal) -> str:
    return "up" if amount > 0 else "down" if amount < 0 else ""


def _ago(time: datetime, now: datetime) -> str:
    seconds = max((now - time).total_seconds(), 0.0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
