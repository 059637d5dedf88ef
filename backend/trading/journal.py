"""What people read about the agents: their states, a few lines that matter, and the course of the equity."""

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from engine.orders import Reason, Refusal
from trading.desk import Desk
from trading.models import Account, AgentLog, AgentState, AgentType, Decision, EquityPoint, Message, Trade

SPOKEN = {
    Reason.SIGNAL: "on a signal",
    Reason.STOP_LOSS: "at the stop-loss",
    Reason.TAKE_PROFIT: "at the take-profit",
    Reason.TRAILING_STOP: "at the trailing stop",
    Reason.MANUAL: "by hand",
}


def active(agent: str, accounts: Iterable[Account]) -> None:
    """The agent has just worked for these accounts."""
    users = [account.user_id for account in accounts]
    states = AgentState.objects.filter(user__in=users, agent_type=agent)
    states.update(last_activity=timezone.now(), error_message="")


def traded(account: Account, trade: Trade, reason: Reason, message: Message) -> None:
    verb = "Bought" if trade.action == "BUY" else "Sold"
    profit = "" if trade.pnl is None else f", profit {trade.pnl:.2f}"
    text = (
        f"{verb} {trade.quantity.normalize():f} {trade.symbol} at {trade.price.normalize():f} {SPOKEN[reason]}{profit}"
    )
    _write(account, AgentType.EXECUTION, AgentLog.Level.INFO, text, message)


def refused(account: Account, refusal: Refusal, decision: Decision, message: Message) -> None:
    """Only what was rejected is worth a line; that there was nothing to do is told by the decision itself."""
    if not refusal.skipped:
        text = f"Refused to {decision.action} {decision.symbol}: {refusal.detail}"
        _write(account, AgentType.EXECUTION, AgentLog.Level.WARNING, text, message)


def without_model(account: Account, message: Message, model_type: str) -> None:
    state = AgentState.objects.filter(user=account.user_id, agent_type=AgentType.DECISION_MAKER)
    problem = f"no {model_type} model for {message.symbol} at {message.interval} yet"
    if state.exclude(error_message=problem).update(error_message=problem):
        _write(account, AgentType.DECISION_MAKER, AgentLog.Level.WARNING, f"Cannot decide: {problem}", message)


def equity(desks: Iterable[Desk], time: datetime) -> None:
    """The accounts valued at a close; a second market of the same moment updates the point."""
    points = [
        EquityPoint(account=desk.account, time=time, balance=desk.balance(), equity=desk.account.equity)
        for desk in desks
    ]
    EquityPoint.objects.bulk_create(
        points, update_conflicts=True, unique_fields=["account", "time"], update_fields=["balance", "equity"]
    )


def _write(account: Account, agent: str, level: str, text: str, message: Message) -> None:
    AgentLog.objects.create(
        user_id=account.user_id, agent_type=agent, level=level, message=text, correlation_id=message.correlation_id
    )
