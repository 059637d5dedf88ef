"""What people read about the agents: their states, a few lines that matter, and the course of the equity."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, F, QuerySet, Value, When
from django.utils import timezone

from engine.orders import Reason, Refusal
from learning.models import ModelVersion
from market.models import Symbol
from trading.desk import Desk
from trading.models import (
    Account,
    AgentLog,
    AgentState,
    AgentType,
    Decision,
    EquityPoint,
    Message,
    Trade,
    TradingSettings,
)

SPOKEN = {
    Reason.SIGNAL: "on a signal",
    Reason.STOP_LOSS: "at the stop-loss",
    Reason.TAKE_PROFIT: "at the take-profit",
    Reason.TRAILING_STOP: "at the trailing stop",
    Reason.MANUAL: "by hand",
}

EQUITY = ["balance", "equity"]

# An agent that works again is no longer in error; one that was stopped stays stopped.
UNHINDERED: dict[str, Any] = {
    "error_message": "",
    "status": Case(When(status=AgentState.Status.ERROR, then=Value(AgentState.Status.RUNNING)), default=F("status")),
}


def active(agent: str, accounts: Iterable[Account]) -> None:
    """The agent has just worked for these accounts."""
    states = _states([account.user_id for account in accounts], agent)
    states.update(last_activity=timezone.now(), **UNHINDERED)


def traded(desk: Desk, trade: Trade, reason: Reason, message: Message) -> None:
    verb = "Bought" if trade.action == "BUY" else "Sold"
    profit = "" if trade.pnl is None else f", profit {trade.pnl:.2f}"
    text = (
        f"{verb} {trade.quantity.normalize():f} {trade.symbol} at {trade.price.normalize():f} {SPOKEN[reason]}{profit}"
    )
    _write(desk, AgentLog.Level.INFO, text, message)


def refused(desk: Desk, refusal: Refusal, decision: Decision, message: Message) -> None:
    """Only what was rejected is worth a line; that there was nothing to do is told by the decision itself."""
    if not refusal.skipped:
        text = f"Refused to {decision.action} {decision.symbol}: {refusal.detail}"
        _write(desk, AgentLog.Level.WARNING, text, message)


def without_model(accounts: Iterable[Account], message: Message, model_type: str) -> None:
    problem = f"no {model_type} model for {message.symbol} at {message.interval} yet"
    users = [account.user_id for account in accounts]
    _hindered(users, AgentType.DECISION_MAKER, f"Cannot decide: {problem}", message.correlation_id)


def observed(symbol: Symbol, interval: str) -> None:
    """The Market Monitor has just looked at a market."""
    _states(_followers(symbol, interval), AgentType.MARKET_MONITOR).update(last_activity=timezone.now(), **UNHINDERED)


def not_observed(symbol: Symbol, interval: str, error: Exception) -> None:
    """The Market Monitor could not look at a market."""
    text = f"Cannot follow {symbol} at {interval}: {error}"
    _hindered(_followers(symbol, interval), AgentType.MARKET_MONITOR, text)


def trained(symbol: Symbol, interval: str, version: ModelVersion) -> None:
    rows, name = version.rows, version.content_hash[:8]
    text = f"Trained a {version.algorithm} model {name} for {symbol} at {interval} on {rows} candles"
    for user in _followers(symbol, interval):
        _log(user, AgentType.DECISION_MAKER, AgentLog.Level.INFO, text)


def not_trained(symbol: Symbol, interval: str, model_type: str, error: Exception) -> None:
    text = f"Cannot train a {model_type} model for {symbol} at {interval}: {error}"
    _hindered(_followers(symbol, interval), AgentType.DECISION_MAKER, text)


def valued(desk: Desk, time: datetime) -> EquityPoint:
    """The account at a close."""
    return EquityPoint(account=desk.account, time=time, balance=desk.balance(), equity=desk.account.equity)


def equity(points: Iterable[EquityPoint]) -> None:
    """The accounts valued at a close; a second market of the same moment updates the point."""
    latest = {(point.account_id, point.time): point for point in points}
    EquityPoint.objects.bulk_create(
        list(latest.values()), update_conflicts=True, unique_fields=["account", "time"], update_fields=EQUITY
    )


def _write(desk: Desk, level: str, text: str, message: Message) -> None:
    """With all else that happens at the desk (`desk.save_accounts`)."""
    line = AgentLog(
        user_id=desk.account.user_id,
        agent_type=AgentType.EXECUTION,
        level=level,
        message=text,
        correlation_id=message.correlation_id,
    )
    desk.unsaved.lines.append(line)


def _hindered(users: Iterable[int], agent: str, text: str, cycle: UUID | None = None) -> None:
    """Shown on the agent until it works again; written to the log once and not at every candle."""
    untold = _states(users, agent).exclude(error_message=text)
    for user in untold.order_by("user").values_list("user", flat=True):
        hindered = {"error_message": text, "status": AgentState.Status.ERROR, "last_activity": timezone.now()}
        if _states([user], agent).exclude(error_message=text).update(**hindered):
            _log(user, agent, AgentLog.Level.WARNING, text, cycle)


def _log(user: int, agent: str, level: str, text: str, cycle: UUID | None = None) -> None:
    AgentLog.objects.create(user_id=user, agent_type=agent, level=level, message=text, correlation_id=cycle)


def _states(users: Iterable[int], agent: str) -> "QuerySet[AgentState]":
    return AgentState.objects.filter(user__in=list(users), agent_type=agent)


def _followers(symbol: Symbol, interval: str) -> list[int]:
    """The users whose running and paused accounts follow a market."""
    watching = Account.objects.filter(settings__status__in=TradingSettings.WATCHING, settings__interval=interval)
    followers = watching.filter(follows__symbol=symbol, follows__is_active=True)
    return sorted(followers.values_list("user_id", flat=True))
