"""Reads of decisions: what was decided, why, and what became of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, QuerySet

from engine.orders import Action
from trading.models import Account, Decision, Message

RECENT = 10
ACTIONS = [action.name for action in Action]

# Columns of the snapshot that a decision does not show, and of the symbol: a page of 500 is read in half the time.
UNSEEN = [
    *(f"snapshot__{name}" for name in ("key", "type", "sender", "recipient", "interval", "error", "attempts")),
    *(f"snapshot__{name}" for name in ("created_at", "processed_at", "available_at", "parked_at", "correlation_id")),
    *(f"symbol__{name}" for name in ("price_tick", "lot_step", "minimum_notional", "created_at", "updated_at")),
]


def decisions_of(account: Account) -> "QuerySet[Decision]":
    """Newest first, with all that a decision shows: its indicators stand in the snapshot message."""
    decisions = Decision.objects.filter(account=account.pk).select_related("symbol", "snapshot").defer(*UNSEEN)
    return decisions.order_by("-created_at", "-pk")


@dataclass
class Statistics:
    recent: list[Decision]
    by_action: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.by_action.total()


def statistics_of(decisions: "QuerySet[Decision]") -> Statistics:
    """Counted by the database in one pass; a decision that has no outcome yet has no reason."""
    found = Statistics(recent=list(decisions[:RECENT]))
    groups = decisions.select_related(None).order_by().values_list("action", "status", "reason_code")
    for action, status, reason, count in groups.annotate(count=Count("pk")):
        found.by_action[action] += count
        found.by_status[status] += count
        if reason:
            found.by_reason[reason] += count
    return found


@dataclass(frozen=True)
class Trace:
    """A decision with the messages before and after it; None for what has not come to be."""

    decision: Decision
    told: Message | None
    report: Message | None

    @property
    def order(self) -> Any:
        return getattr(self.decision, "order", None)

    @property
    def fills(self) -> list[Any]:
        trade = getattr(self.order, "trade", None)
        return [] if trade is None else [trade]


def trace_of(decision: Decision) -> Trace:
    own = Message.objects.filter(account=decision.account_id)
    # Both are found by their cause, which is indexed, and not by the cycle, which all accounts of a market share.
    told = own.filter(caused_by=decision.snapshot_id, type=Message.Type.TRADE_DECISION).first()
    report = own.filter(caused_by=told, type=Message.Type.EXECUTION_REPORT).first() if told else None
    return Trace(decision, told, report)
