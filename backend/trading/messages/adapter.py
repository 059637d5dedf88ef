"""The only code that claims, publishes and completes messages.

A claim is a conditional UPDATE, and the rows that it returns are believed: that is right on both databases. SKIP LOCKED
only spares workers on PostgreSQL from waiting for each other. Claim, effects, outgoing messages and `processed_at`
commit together, so a crash at any line leaves everything or nothing.
"""

import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from market.models import Symbol
from market.statements import Columns, Inserted, among, fetch, written_together
from trading.models import Account, AgentType, Message

logger = logging.getLogger(__name__)

BATCH = 500
MOST_ATTEMPTS = 5
DEFER_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
# What an instrument is traded in hardly ever changes; a change is seen this much later.
SYMBOLS_KEPT_SECONDS = 1.0

# The database's trouble and not the message's: nothing has happened, and the next sweep tries again.
OUTAGES = (OperationalError, InterfaceError)


@dataclass
class Handled:
    """What a handler did with a batch: what to publish, and the messages whose time has not come yet."""

    outgoing: list[Message] = field(default_factory=list)
    deferred: list[Message] = field(default_factory=list)


MESSAGE = Columns(Message)
SYMBOL = Columns(Symbol)
PUBLISH = Inserted(Message, "ON CONFLICT DO NOTHING")

# The candidates are a step of their own: inlined, PostgreSQL could look for them, and lock them, more than once. With
# COALESCE it does not look for each of them in a partial index of what waits: it takes that for empty, and went through
# all of it each time.
CLAIM = """
WITH free AS MATERIALIZED (
    SELECT id FROM trading_message AS waiting
    WHERE processed_at IS NULL AND parked_at IS NULL AND {waiting} ORDER BY id LIMIT %s {skip}
)
UPDATE trading_message SET processed_at = %s FROM free
WHERE trading_message.id = free.id AND COALESCE(processed_at, parked_at) IS NULL RETURNING {columns}
"""

# A candle is decided on only when the candle before it, and all that was decided on it, is done.
IN_TURN = """NOT EXISTS (
    SELECT 1 FROM trading_message AS ahead
    WHERE ahead.processed_at IS NULL AND ahead.parked_at IS NULL
    AND ahead.symbol_id = waiting.symbol_id AND ahead.interval = waiting.interval
    AND (ahead.id < waiting.id OR ahead.type = 'TRADE_DECISION')
)"""

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
            # What nobody has to act on is done when it is written.
            processed_at=None if to_agent else timezone.now(),
        )

    def publish(self, messages: Iterable[Message]) -> None:
        """Writes messages; one whose key stands already is left as it is. Wakes the recipients after the commit."""
        messages = list(messages)
        PUBLISH.insert(messages)
        self._wake_recipients(messages)

    def send_message(self, to_agent: str, message_type: str, payload: dict[str, Any], **details: Any) -> Message:
        """Writes one message, or finds the one that stands under its key already. One statement, so it may stand
        outside of a transaction.
        """
        return self.send(self.message(to_agent, message_type, payload, **details))

    def send(self, message: Message) -> Message:
        """The same for a message that has been made."""
        PUBLISH.insert_with_keys([message])
        return self._sent(message)

    def send_with(self, message: Message, store: Callable[[Inserted[Message], Message], bool]) -> Message | None:
        """Has a message written in the statement that stores what it tells of. None where nothing was stored."""
        return self._sent(message) if store(PUBLISH, message) else None

    def _sent(self, message: Message) -> Message:
        self._wake_recipients([message])
        return Message.objects.get(key=message.key) if message.pk is None else message

    def work(self, handle: Handler, limit: int = BATCH) -> int:
        """Claims what waits, has it handled and publishes the outcome, in one transaction. How many were claimed.

        When a batch fails, its messages are handled one by one: only the bad one waits, and is parked in the end.
        """
        claimed: list[Message] = []
        try:
            with transaction.atomic(), written_together():
                claimed = self._claim(limit)
                self._complete(claimed, handle)
            return len(claimed)
        except OUTAGES:
            raise
        except Exception as error:
            if len(claimed) == 1:
                self._failed(claimed[0], error)
            else:
                logger.warning("%s: a batch of %s failed: %s", self.agent, len(claimed), error)
        for message in claimed if len(claimed) > 1 else []:
            self._work_alone(message, handle)
        return len(claimed)

    def work_on(self, message: Message, handle: Handler) -> bool:
        """Has one message handled at once if it is its turn, under the rules of `work`. Errors are the caller's."""
        with transaction.atomic(), written_together():
            claimed = self._claim(1, only=message.pk, in_turn=True)
            self._complete(claimed, handle)
        return bool(claimed)

    def _work_alone(self, message: Message, handle: Handler) -> None:
        try:
            with transaction.atomic(), written_together():
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
        now = timezone.now()
        wanted, parameters = ["recipient = %s"], list[Any]([self.agent])
        if only is None or in_turn:
            wanted, parameters = [*wanted, "available_at <= %s"], [*parameters, now]
            wanted += [IN_TURN] if self.agent == AgentType.DECISION_MAKER else []
        if only is not None:
            wanted, parameters = [*wanted, "id = %s"], [*parameters, only]
        sql = CLAIM.format(
            waiting=" AND ".join(wanted),
            skip="FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else "",
            columns=MESSAGE.of("trading_message"),
        )
        claimed = sorted((MESSAGE.row(row) for row in fetch(sql, [*parameters, limit, now])), key=lambda row: row.pk)
        self._give_symbols(claimed)
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

    def _wake_recipients(self, messages: Sequence[Message]) -> None:
        if (wake := self.wake) is not None:
            for recipient in sorted({message.recipient for message in messages if message.recipient}):
                transaction.on_commit(partial(wake, recipient))

    def _give_symbols(self, messages: Sequence[Message]) -> None:
        unknown = {message.symbol_id for message in messages} - self._symbols.keys()
        if unknown or monotonic() - self._symbols_read > SYMBOLS_KEPT_SECONDS:
            self._symbols = symbols_of({message.symbol_id for message in messages})
            self._symbols_read = monotonic()
        for message in messages:
            message.symbol = self._symbols[message.symbol_id]


def symbols_of(keys: Collection[int]) -> dict[int, Symbol]:
    if not keys:
        return {}
    chosen, parameters = among("id", keys)
    rows = fetch(f"SELECT {SYMBOL.of('market_symbol')} FROM market_symbol WHERE {chosen}", parameters)  # noqa: S608
    return {symbol.pk: symbol for symbol in map(SYMBOL.row, rows)}


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
