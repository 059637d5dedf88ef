"""What stands between a client and the network: a budget of requests, patience, and a circuit breaker.

A request that failed is asked again a few times, after growing, jittered waits or when the source said; a source that
goes on failing is left alone for a while, so that nobody waits for it and it is not made worse.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Protocol, TypeVar

import pybreaker
import stamina
from pyrate_limiter import InMemoryBucket, Limiter, Rate, RateItem, SingleBucketFactory

from market.errors import (
    BudgetSpent,
    CircuitOpen,
    GarbledAnswer,
    NotServed,
    RateLimited,
    RegionBlocked,
    SourceDown,
    SourceError,
    UnknownInstrument,
)

Value = TypeVar("Value")

# What says that the source itself does not work, and not only this question.
SYSTEM_FAILURES = (SourceDown, RateLimited, GarbledAnswer, RegionBlocked)
# Answers that nobody has to be told about: the source is well and does not have it, or was not asked.
NO_NEWS = (UnknownInstrument, NotServed, BudgetSpent)
REPORT_EVERY_SECONDS = 10.0


class Report(Protocol):
    """Told how a source is doing: the error of a request or None, and until when it is left alone."""

    def __call__(self, source: str, error: SourceError | None, retry_at: datetime | None) -> None: ...


def nobody(source: str, error: SourceError | None, retry_at: datetime | None) -> None:
    pass


@dataclass(frozen=True)
class Budget:
    """So much weight of requests in so many seconds, of one process."""

    weight: int
    seconds: float


@dataclass(frozen=True)
class Patience:
    attempts: int = 3
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 5.0
    # No new attempt after this: a task of Celery is ended after 50 s.
    total_seconds: float = 15.0
    budget_seconds: float = 10.0


@dataclass(frozen=True)
class Pause:
    """When a source is left alone, and for how long."""

    after_failures: int = 3
    seconds: float = 30.0
    region_seconds: float = 900.0


class Guard:
    """One of a source and a process; threads may share it."""

    def __init__(
        self,
        source: str,
        budget: Budget | None = None,
        patience: Patience = Patience(),
        pause: Pause = Pause(),
        report: Report = nobody,
    ) -> None:
        self._source = source
        self._patience = patience
        self._pause = pause
        self._report = report
        self._told = -REPORT_EVERY_SECONDS
        self._last_failure = ""
        self._limiter = _limiter(budget) if budget else None
        self._circuit = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=pause.after_failures,
            reset_timeout=pause.seconds,
            exclude=[lambda error: not isinstance(error, SYSTEM_FAILURES)],
            state_storage=self._circuit,
            throw_new_error_on_trip=False,
        )

    def __call__(self, ask: Callable[[], Value], weight: int = 1) -> Value:
        """What `ask` answers, in the end. Raises SourceError; CircuitOpen without asking."""
        try:
            answer = self._through_breaker(partial(self._patiently, ask, weight))
        except pybreaker.CircuitBreakerError as error:
            raise self._open() from error
        except SourceError as error:
            self._failed(error)
            raise
        self._succeeded()
        return answer

    def _through_breaker(self, ask: Callable[[], Value]) -> Value:
        if self._breaker.current_state != pybreaker.STATE_CLOSED:
            # Left alone; or, when the pause is over, this request is the trial, and the others wait for it.
            return self._breaker.call(ask)
        # pybreaker holds its lock during a call. It is told the outcome only, so that threads can ask side by side.
        try:
            answer = ask()
        except SourceError as error:
            with suppress(pybreaker.CircuitBreakerError, SourceError):
                self._breaker.call(_raise, error)
            raise
        # Another thread may have opened it meanwhile: what has been answered is good all the same.
        with suppress(pybreaker.CircuitBreakerError):
            self._breaker.call(lambda: None)
        return answer

    def _patiently(self, ask: Callable[[], Value], weight: int) -> Value:
        patience = self._patience
        attempts = stamina.retry_context(
            on=self._wait_of,
            attempts=patience.attempts,
            timeout=patience.total_seconds,
            wait_initial=patience.first_wait_seconds,
            wait_jitter=patience.first_wait_seconds,
            wait_max=patience.longest_wait_seconds,
        )
        for attempt in attempts:
            with attempt:
                self._spend(weight)
                return ask()
        raise AssertionError("stamina ended without an answer and without an error")

    def _wait_of(self, error: Exception) -> float | bool:
        """For stamina: whether to ask again, or after how many seconds."""
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= self._patience.longest_wait_seconds else False
        return isinstance(error, SourceError) and error.retry_helps

    def _spend(self, weight: int) -> None:
        if self._limiter and not self._limiter.try_acquire(self._source, weight, timeout=self._patience.budget_seconds):
            raise BudgetSpent(self._source, "more requests than it allows; it will be asked again later")

    def _failed(self, error: SourceError) -> None:
        self._lengthen(error)
        if not isinstance(error, NO_NEWS):
            self._told = -REPORT_EVERY_SECONDS
            self._report(self._source, error, self._retry_at)

    def _lengthen(self, error: SourceError) -> None:
        """A source that says how long to stay away is believed, and one that shuts us out is not asked every minute."""
        if not isinstance(error, SYSTEM_FAILURES):
            return
        self._last_failure = error.problem
        stay_away = self._pause.region_seconds if isinstance(error, RegionBlocked) else 0.0
        if isinstance(error, RateLimited):
            stay_away = error.retry_after or 0.0
        self._breaker.reset_timeout = max(self._pause.seconds, stay_away)
        if stay_away:
            self._breaker.open()

    def _succeeded(self) -> None:
        # The first success after a failure is news; of the others, one now and then.
        if monotonic() - self._told >= REPORT_EVERY_SECONDS:
            self._told = monotonic()
            self._report(self._source, None, None)

    @property
    def _retry_at(self) -> datetime | None:
        opened = self._circuit.opened_at
        if self._breaker.current_state != pybreaker.STATE_OPEN or opened is None:
            return None
        return opened + timedelta(seconds=self._breaker.reset_timeout)

    def _open(self) -> CircuitOpen:
        retry_at = self._retry_at or datetime.now(UTC)
        return CircuitOpen(self._source, self._last_failure, retry_at)


def _limiter(budget: Budget) -> Limiter:
    # Without the thread that would empty the bucket: it is emptied when something is put in.
    bucket = _SelfEmptying([Rate(budget.weight, int(budget.seconds * 1000))])
    return Limiter(SingleBucketFactory(bucket, schedule_leak=False))


class _SelfEmptying(InMemoryBucket):
    def put(self, item: RateItem) -> bool:
        self.leak(item.timestamp)
        return super().put(item)


def _raise(error: SourceError) -> None:
    raise error
