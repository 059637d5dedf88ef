"""Accounts that trade on fallback rules: shown on the Decision Maker, and logged once."""

from collections.abc import Iterable

from django.db import transaction

from engine.rules import MODEL_TYPE
from learning.registry.serving import Prediction
from trading.models import Account, AgentLog, AgentState, AgentType, Message

Noted = tuple[int, str]


class FallbackNotes:
    """Looks at the states of the agents only when something has changed since this process wrote them down."""

    def __init__(self) -> None:
        self._noted: dict[Noted, bool] = {}

    def record(self, accounts: Iterable[Account], message: Message, model: str, answer: Prediction | None) -> None:
        """These accounts were decided for; by rules where the model had no answer. Part of the caller's transaction."""
        by_rules, place = answer is None, f"{message.symbol} {message.interval} {model}"
        users = [account.user_id for account in accounts if self._noted.get((account.user_id, place)) is not by_rules]
        if not users:
            return
        states = AgentState.objects.filter(user__in=users, agent_type=AgentType.DECISION_MAKER).order_by("pk")
        changed = [state for state in states if _note(state, place, by_rules)]
        AgentState.objects.bulk_update(changed, ["metadata"])
        AgentLog.objects.bulk_create([_line(state, message, model, by_rules) for state in changed])
        noted = {(user, place): by_rules for user in users}
        transaction.on_commit(lambda: self._noted.update(noted))


def _note(state: AgentState, place: str, by_rules: bool) -> bool:
    """Whether that is new."""
    places = set(state.metadata.get(MODEL_TYPE, []))
    if (place in places) == by_rules:
        return False
    state.metadata = {**state.metadata, MODEL_TYPE: sorted(places ^ {place})}
    return True


def _line(state: AgentState, message: Message, model: str, by_rules: bool) -> AgentLog:
    market = f"{message.symbol} at {message.interval}"
    return AgentLog(
        user_id=state.user_id,
        agent_type=AgentType.DECISION_MAKER,
        level=AgentLog.Level.WARNING if by_rules else AgentLog.Level.INFO,
        message=f"No {model} model can serve {market}: deciding by rules ({MODEL_TYPE})"
        if by_rules
        else f"A {model} model decides on {market} again",
        correlation_id=message.correlation_id,
    )
