"""Reads of decisions."""

from collections import Counter
from dataclasses import dataclass, field

from django.db.models import Count, QuerySet

from engine.orders import Action
from trading.models import Account, Decision

RECENT = 10
ACTIONS = [action.name for action in Action]

# Columns that no decision displays: without them a page of 500 is read in half the time.
UNUSED = [
    *(f"snapshot__{name}" for name in ("key", "type", "sender", "recipient", "interval", "error", "attempts")),
    *(f"snapshot__{name}" for name in ("created_at", "processed_at", "available_at", "parked_at", "correlation_id")),
    *(f"symbol__{name}" for name in ("price_tick", "lot_step", "minimum_notional", "created_at", "updated_at")),
]


@dataclass
class DecisionStatistics:
    recent: list[Decision]
    by_action: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)


def decisions_of(account: Account) -> "QuerySet[Decision]":
    """Newest first, each with its symbol and its snapshot, whose payload holds the indicators."""
    decisions = Decision.objects.filter(account=account.pk).select_related("symbol", "snapshot").defer(*UNUSED)
    return decisions.order_by("-created_at", "-pk")


def statistics_of(decisions: "QuerySet[Decision]") -> DecisionStatistics:
    """Counted by the database in one statement; a pending decision has no reason."""
    found = DecisionStatistics(recent=list(decisions[:RECENT]))
    groups = decisions.select_related(None).order_by().values_list("action", "status", "reason_code")
    for action, status, reason, count in groups.annotate(count=Count("pk")):
        found.by_action[action] += count
        found.by_status[status] += count
        if reason:
            found.by_reason[reason] += count
    return found
