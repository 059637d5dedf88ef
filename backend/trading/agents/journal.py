"""What people read about the agents: their states, a few lines that matter, and the course of the equity."""

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Case, F, QuerySet, Value, When
from django.utils import timezone

from engine.orders import Reason
from learning.models import ModelVersion
from market import errors
from market.models import Symbol
from trading.books.session import AccountSession
from trading.models import (
    Account,
    AgentLog,
    AgentState,
    AgentType,
    Decision,
    Message,
    Trade,
    TradingSettings,
)

if TYPE_CHECKING:
    from learning.promotion.review import Change

REASON_TEXTS = {
    Reason.SIGNAL: "on a signal",
    Reason.STOP_LOSS: "at the stop-loss",
    Reason.TAKE_PROFIT: "at the take-profit",
    Reason.TRAILING_STOP: "at the trailing stop",
    Reason.MANUAL: "by hand",
}

# An agent that works again is no longer in error; one that was stopped stays stopped.
ACTIVITY_SECONDS = 1.0
RECENT_LINES = 20

UNHINDERED: dict[str, Any] = {
    "error_message": "",
    "status": Case(When(status=AgentState.Status.ERROR, then=Value(AgentState.Status.RUNNING)), default=F("status")),
}


class Activity:
    """Stores that an agent is at work, at most once a second for a user."""

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self._written: dict[int, float] = {}

    def record(self, accounts: Iterable[Account]) -> None:
        """The agent has just worked for these accounts."""
        now = monotonic()
        users = [account.user_id for account in accounts]
        due = [user for user in users if now - self._written.get(user, -ACTIVITY_SECONDS) >= ACTIVITY_SECONDS]
        if due:
            _states(due, self.agent).update(last_activity=timezone.now(), **UNHINDERED)
            self._written.update(dict.fromkeys(due, now))


def traded(session: AccountSession, trade: Trade, reason: Reason, message: Message) -> None:
    verb = "Bought" if trade.action == "BUY" else "Sold"
    profit = "" if trade.pnl is None else f", profit {trade.pnl:.2f}"
    size, price = f"{trade.quantity.normalize():f} {trade.symbol}", f"{trade.price.normalize():f}"
    text = f"{verb} {size} at {price} {REASON_TEXTS[reason]}{profit}"
    _write(session, AgentLog.Level.INFO, text, message)


def refused(session: AccountSession, detail: str, decision: Decision, message: Message) -> None:
    """A line only for what was rejected; that there was nothing to do is stored with the decision itself."""
    _write(session, AgentLog.Level.WARNING, f"Refused to {decision.action} {decision.symbol}: {detail}", message)


def without_model(accounts: Iterable[Account], message: Message, model_type: str) -> None:
    problem = f"no {model_type} model for {message.symbol} at {message.interval} yet"
    users = [account.user_id for account in accounts]
    _hindered(users, AgentType.DECISION_MAKER, f"Cannot decide: {problem}", message.correlation_id)


def observed(symbol: Symbol, interval: str) -> None:
    """The Market Monitor has just looked at a market."""
    _states(_followers(symbol, interval), AgentType.MARKET_MONITOR).update(last_activity=timezone.now(), **UNHINDERED)


def not_observed(symbol: Symbol, interval: str, error: Exception) -> None:
    """The Market Monitor could not poll a market. Logged once while the reason lasts."""
    text = f"Cannot follow {symbol} at {interval}: {errors.reason(error)}"
    _hindered(_followers(symbol, interval), AgentType.MARKET_MONITOR, text)


def trained(symbol: Symbol, interval: str, version: ModelVersion) -> None:
    rows, name = version.rows, version.content_hash[:8]
    text = f"Trained a {version.algorithm} model {name} for {symbol} at {interval} on {rows} candles"
    for user in _followers(symbol, interval):
        _log(user, AgentType.DECISION_MAKER, AgentLog.Level.INFO, text)


def not_trained(symbol: Symbol, interval: str, model_type: str, error: Exception) -> None:
    text = f"Cannot train a {model_type} model for {symbol} at {interval}: {error}"
    _hindered(_followers(symbol, interval), AgentType.DECISION_MAKER, text)


def challenged(symbol: Symbol, interval: str, version: ModelVersion, positions: int) -> None:
    text = (
        f"Trained a challenger {version.content_hash[:8]} for {symbol} at {interval} on {version.rows} candles and "
        f"what came of {positions} positions: it answers in shadow and decides nothing"
    )
    for user in _followers(symbol, interval):
        _log(user, AgentType.DECISION_MAKER, AgentLog.Level.INFO, text)


def champion_changed(symbol: Symbol, interval: str, change: "Change") -> None:
    level = AgentLog.Level.INFO if change.is_promotion else AgentLog.Level.WARNING
    for user in _followers(symbol, interval):
        _log(user, AgentType.DECISION_MAKER, level, change.text)


def not_learning(symbol: Symbol, interval: str, name: str, error: Exception) -> None:
    """A line and no error of the agent, because the model goes on deciding; logged once and not at every attempt."""
    text = f"The {name} model for {symbol} at {interval} cannot go on learning: {error}"
    for user in _followers(symbol, interval):
        recent = AgentLog.objects.filter(user=user, agent_type=AgentType.DECISION_MAKER).order_by("-pk")
        if text not in recent.values_list("message", flat=True)[:RECENT_LINES]:
            _log(user, AgentType.DECISION_MAKER, AgentLog.Level.WARNING, text)


def _write(session: AccountSession, level: str, text: str, message: Message) -> None:
    """Saved with all else that happens in the session."""
    line = AgentLog(
        user_id=session.account.user_id,
        agent_type=AgentType.EXECUTION,
        level=level,
        message=text,
        correlation_id=message.correlation_id,
    )
    session.lines.append(line)


def _hindered(users: Iterable[int], agent: str, text: str, cycle: UUID | None = None) -> None:
    """Shown on the agent until it works again; written to the log once and not at every candle."""
    others = _states(users, agent).exclude(error_message=text)
    for user, before in others.order_by("user").values_list("user", "error_message"):
        hindered = {"error_message": text, "status": AgentState.Status.ERROR, "last_activity": timezone.now()}
        changed = _states([user], agent).exclude(error_message=text).update(**hindered)
        if changed and errors.gist(before) != errors.gist(text):
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
