"""How the agents of a user are doing."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from trading.models import Account, AgentLog, AgentState, AgentType, Decision, Follow, Message, Position
from trading.selectors.decisions import decisions_of
from trading.selectors.symbols import followed_symbols

LOG_LINES = RECENT = 10
ORDER = list(AgentType.values)


def agent_states(account: Account) -> list[AgentState]:
    """Market, decision, execution."""
    states = AgentState.objects.filter(user=account.user_id)
    return sorted(states, key=lambda state: ORDER.index(state.agent_type))


def agent_state(account: Account, agent: str) -> AgentState:
    return AgentState.objects.get(user=account.user_id, agent_type=agent)


def agent_logs(account: Account, agent: str) -> "QuerySet[AgentLog]":
    """Newest first."""
    return AgentLog.objects.filter(user=account.user_id, agent_type=agent).order_by("-pk")


def messages_processed(account: Account) -> Mapping[str, int]:
    """Snapshots of what is followed, snapshots that were decided on, and decisions that have an outcome."""
    # At all intervals, so that it is counted on an index alone.
    snapshots = Message.objects.filter(type=Message.Type.MARKET_SNAPSHOT)
    symbols = list(followed_symbols(account).values_list("pk", flat=True))
    decisions = Decision.objects.filter(account=account)
    return {
        AgentType.MARKET_MONITOR: snapshots.filter(symbol__in=symbols).count(),
        AgentType.DECISION_MAKER: decisions.count(),
        AgentType.EXECUTION: decisions.exclude(status=Decision.Status.PENDING).count(),
    }


def recent_decisions(account: Account) -> list[Decision]:
    return list(decisions_of(account)[:RECENT])


def current_state(account: Account) -> Mapping[str, Mapping[str, Any]]:
    """What each agent works with at the moment."""
    settings = account.settings
    active = Follow.objects.filter(account=account, is_active=True).order_by("symbol__symbol")
    open_positions = Position.objects.filter(account=account, closed_at=None)
    pending = Decision.objects.filter(account=account, status=Decision.Status.PENDING)
    return {
        AgentType.MARKET_MONITOR: {
            "timeframe": settings.interval,
            "symbols": list(active.values_list("symbol__symbol", flat=True)),
        },
        AgentType.DECISION_MAKER: {
            "modelType": settings.model_type,
            "confidenceThreshold": settings.confidence_threshold,
            "riskLevel": settings.risk_level,
        },
        AgentType.EXECUTION: {
            "openPositions": list(open_positions.order_by("symbol__symbol").values_list("symbol__symbol", flat=True)),
            "pendingDecisions": pending.count(),
            "killSwitch": settings.kill_switch,
        },
    }
