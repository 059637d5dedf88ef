"""The only code that claims, publishes and completes messages.

Claim, effects, outgoing messages and `processed_at` commit together, so a crash at any line leaves everything or
nothing.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from database.claim import claim_statement
from database.rows import columns_of, insert, returned
from market.models import Symbol
from trading.models import Account, AgentType, Message

logger = logging.getLogger(__name__)

BATCH = 500
MOST_ATTEMPTS = 5
DEFER_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
# The steps in which a symbol is traded hardly ever change; a change is used at most this much later.
SYMBOLS_KEPT_SECONDS = 1.0

# The database's trouble and not the message's: nothing has happened, and the next sweep tries again.
OUTAGES = (OperationalError, InterfaceError)


@dataclass
class Handled:
    """What a handler did with a batch: what to publish, and the messages whose time has not come yet."""

    outgoing: list[Message] = field(default_factory=list)
    deferred: list[Message] = field(default_factory=list)


Handler = Callable[[Sequence[Message]], Handled]
GiveUp = Callable[[Message, Exception], list[Message]]
"""What is to be said about a message that is parked."""


class DjangoAgentAdapter:
    """The Message table as one agent sees it."""

    def __init__(self, agent: str, wake: Callable[[str], None] | None = None) -> None:
        self.agent = agent
        self.wake = wake
        self.give_up: GiveUp | None = None
        self._symbols: dict[int, Symbol] = {}
        self._symbols_read = 0.0

    def message(
        self,
        to_agent: str,
        message_type: str,
        payload: dict[str, Any],
        *,
        key: str,
        symbol: Symbol,
        interval: str,
        account: Account | None = None,
        caused_by: Message | None = None,
    ) -> Message:
        """A message that is not sent yet. Its key is a function of what it says, so it can be sent only once."""
        return Message(
            key=key,
            type=message_type,
            sender=self.agent,
            recipient=to_agent,
            payload=payload,
            symbol=symbol,
            interval=interval,
            account=account,
            caused_by=caused_by,
            correlation_id=caused_by.correlation_id if caused_by else uuid.uuid4(),
            # A message without a recipient is stored as processed.
            processed_at=None if to_agent else timezone.now(),
        )

    def publish(self, messages: Iterable[Message]) -> None:
        """Writes messages; one whose key is stored already is left as it is. Wakes the recipients after the commit."""
        messages = list(messages)
        insert(messages, unique=["key"])
        if (wake := self.wake) is not None:
            for recipient in sorted({message.recipient for message in messages if message.recipient}):
                transaction.on_commit(partial(wake, recipient))

    def send_message(self, to_agent: str, message_type: str, payload: dict[str, Any], **details: Any) -> Message:
        """Publishes one message, and returns the row that is stored under its key."""
        message = self.message(to_agent, message_type, payload, **details)
        self.publish([message])
        return Message.objects.get(key=message.key) if message.pk is None else message

    def work(self, handle: Handler, limit: int = BATCH) -> int:
        """Claims what waits, has it handled and publishes the outcome, in one transaction. How many were claimed.

        When a batch fails, its messages are handled one by one: only the bad one waits, and is parked in the end.
        """
        claimed: list[Message] = []
        try:
            with transaction.atomic():
                claimed = self._claim(limit)
                self._complete(claimed, handle)
            return len(claimed)
        except OUTAGES:
            raise
        except Exception as error:
            if not claimed:
                raise
            if len(claimed) == 1:
                self._failed(claimed[0], error)
            else:
                logger.warning("%s: a batch of %s failed: %s", self.agent, len(claimed), error)
        for message in claimed if len(claimed) > 1 else []:
            self._work_alone(message, handle)
        return len(claimed)

    def work_on(self, message: Message, handle: Handler) -> bool:
        """Has one message handled at once if it is its turn, under the rules of `work`. Errors are the caller's."""
        with transaction.atomic():
            claimed = self._claim(1, only=message.pk, in_turn=True)
            self._complete(claimed, handle)
        return bool(claimed)

    def _work_alone(self, message: Message, handle: Handler) -> None:
        try:
            with transaction.atomic():
                self._complete(self._claim(1, only=message.pk), handle)
        except OUTAGES:
            raise
        except Exception as error:
            self._failed(message, error)

    def _complete(self, claimed: Sequence[Message], handle: Handler) -> None:
        if not claimed:
            return
        handled = handle(claimed)
        self.publish(handled.outgoing)
        if handled.deferred:
            later = timezone.now() + timedelta(seconds=DEFER_SECONDS)
            deferred = [message.pk for message in handled.deferred]
            Message.objects.filter(pk__in=deferred).update(processed_at=None, available_at=later)

    def _claim(self, limit: int, only: int | None = None, in_turn: bool = False) -> list[Message]:
        """One that is asked for by its key may be tried before its time, unless it has to be in turn."""
        is_chosen = only is None or in_turn
        sql, parameters = claim_statement(
            self.agent,
            timezone.now(),
            limit,
            only,
            is_due=is_chosen,
            in_turn=is_chosen and self.agent == AgentType.DECISION_MAKER,
            columns=columns_of(Message),
        )
        claimed = sorted(returned(Message, sql, parameters), key=lambda message: message.pk)
        missing = {message.symbol_id for message in claimed} - self._symbols.keys()
        if missing or monotonic() - self._symbols_read > SYMBOLS_KEPT_SECONDS:
            self._symbols = Symbol.objects.in_bulk({message.symbol_id for message in claimed})
            self._symbols_read = monotonic()
        for message in claimed:
            message.symbol = self._symbols[message.symbol_id]
        return claimed

    def _failed(self, message: Message, error: Exception) -> None:
        attempts = message.attempts + 1
        parked = attempts >= MOST_ATTEMPTS
        now = timezone.now()
        wait = min(2.0**attempts, LONGEST_WAIT_SECONDS)
        with transaction.atomic():
            changed = Message.objects.filter(pk=message.pk, processed_at__isnull=True, parked_at__isnull=True).update(
                attempts=attempts,
                error=f"{type(error).__name__}: {error}"[:2000],
                available_at=now + timedelta(seconds=wait),
                parked_at=now if parked else None,
            )
            if changed and parked and self.give_up:
                self.publish(self.give_up(message, error))
        logger.error("%s: message %s failed (attempt %s)", self.agent, message.pk, attempts, exc_info=error)


def waiting_markets(agent: str) -> list[tuple[Symbol, str]]:
    """The markets with messages that wait for an agent."""
    pairs = sorted(set(_open().filter(recipient=agent).values_list("symbol_id", "interval")))
    symbols = Symbol.objects.in_bulk({pk for pk, _ in pairs})
    return [(symbols[pk], interval) for pk, interval in pairs]


@dataclass(frozen=True)
class Requeued:
    """How many messages wait again, and how many of those that were asked for stay as they are, by the reason."""

    waiting: int
    given_up: int
    overtaken: int
    not_parked: int


@transaction.atomic
def requeue(keys: Iterable[int]) -> Requeued:
    """Parked messages are tried again, from the first attempt on.

    Not a TRADE_DECISION: its decision has FAILED, its report says so, and it was made for a price that is gone. Not a
    snapshot either once its market has gone on: exits and decisions of an old candle would be carried out on a position
    that came after it.
    """
    asked = Message.objects.filter(pk__in=list(keys))
    parked = asked.filter(parked_at__isnull=False)
    found, free = parked.count(), asked.filter(parked_at__isnull=True).count()
    given_up = parked.filter(type=Message.Type.TRADE_DECISION).count()
    later = Message.objects.filter(
        type=Message.Type.MARKET_SNAPSHOT,
        symbol=OuterRef("symbol"),
        interval=OuterRef("interval"),
        pk__gt=OuterRef("pk"),
        processed_at__isnull=False,
    )
    current = parked.exclude(type=Message.Type.TRADE_DECISION).filter(~Exists(later))
    waiting = current.update(parked_at=None, attempts=0, available_at=timezone.now())
    return Requeued(waiting, given_up, overtaken=found - given_up - waiting, not_parked=free)


def _open() -> "QuerySet[Message]":
    return Message.objects.filter(processed_at__isnull=True, parked_at__isnull=True)
