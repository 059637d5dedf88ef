"""Reads of the agents of a user: states, log, counts, and the inputs they work with."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from market.sources.health import source_states
from trading.models import (
    Account,
    AgentLog,
    AgentState,
    AgentType,
    Decision,
    Follow,
    Message,
    Position,
    TradingSettings,
)
from trading.selectors.markets import Market, is_late, newest_candles
from trading.selectors.symbols import followed_symbols

LOG_LINES = RECENT = 10
ORDER = list(AgentType.values)


def any_account_trades() -> bool:
    return TradingSettings.objects.filter(status=TradingSettings.Status.RUNNING).exists()


def agent_states(account: Account) -> list[AgentState]:
    """In the order market, decision, execution."""
    states = AgentState.objects.filter(user=account.user_id)
    return sorted(states, key=lambda state: ORDER.index(state.agent_type))


def agent_status(account: Account) -> list[AgentState]:
    """The same, with the states of the price sources in the metadata of the Market Monitor."""
    return [_with_sources(state) for state in agent_states(account)]


def agent_state(account: Account, agent: str) -> AgentState:
    return _with_sources(AgentState.objects.get(user=account.user_id, agent_type=agent))


def sources() -> list[dict[str, Any]]:
    """The state of each source of live prices after its latest request."""
    return [
        {
            "name": row.name,
            "state": row.state,
            "failures": row.failures,
            "lastError": row.last_error,
            "lastSuccess": _iso(row.last_success_at),
            "lastFailure": _iso(row.last_failure_at),
            "retryAt": _iso(row.retry_at),
        }
        for row in source_states()
    ]


def _with_sources(state: AgentState) -> AgentState:
    """Added when read: all Market Monitors share the sources."""
    if state.agent_type == AgentType.MARKET_MONITOR:
        state.metadata = {**state.metadata, "sources": sources()}
    return state


def _markets(account: Account, now: datetime) -> list[dict[str, Any]]:
    """The newest candle of each traded market, and its age."""
    interval = account.settings.interval
    follows = Follow.objects.filter(account=account, is_active=True).select_related("symbol").order_by("symbol__symbol")
    markets = [Market(follow.symbol, interval) for follow in follows]
    newest = newest_candles(markets)
    return [
        {
            "symbol": market.symbol.symbol,
            "source": candle.source,
            "isLive": candle.is_live,
            "ageSeconds": round(max(candle.age(now).total_seconds(), 0.0), 3),
            "isLate": is_late(market, candle, now),
        }
        for market in markets
        if (candle := newest.get(market))
    ]


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")


def agent_logs(account: Account, agent: str) -> "QuerySet[AgentLog]":
    """Newest first."""
    return AgentLog.objects.filter(user=account.user_id, agent_type=agent).order_by("-pk")


def messages_processed(account: Account) -> Mapping[str, int]:
    """By agent: snapshots of followed symbols, decisions, decisions with an outcome."""
    # Of all intervals: an index-only count.
    snapshots = Message.objects.filter(type=Message.Type.MARKET_SNAPSHOT)
    symbols = list(followed_symbols(account).values_list("pk", flat=True))
    decisions = Decision.objects.filter(account=account)
    return {
        AgentType.MARKET_MONITOR: snapshots.filter(symbol__in=symbols).count(),
        AgentType.DECISION_MAKER: decisions.count(),
        AgentType.EXECUTION: decisions.exclude(status=Decision.Status.PENDING).count(),
    }


def current_state(account: Account) -> Mapping[str, Mapping[str, Any]]:
    """The inputs of each agent now, by agent type."""
    settings = account.settings
    active = Follow.objects.filter(account=account, is_active=True).order_by("symbol__symbol")
    open_positions = Position.objects.filter(account=account, closed_at=None)
    pending = Decision.objects.filter(account=account, status=Decision.Status.PENDING)
    return {
        AgentType.MARKET_MONITOR: {
            "timeframe": settings.interval,
            "symbols": list(active.values_list("symbol__symbol", flat=True)),
            "markets": _markets(account, timezone.now()),
            "sources": sources(),
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
