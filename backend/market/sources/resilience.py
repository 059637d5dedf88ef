"""The request policy of the sources: a request budget, retries and a circuit breaker.

A failed request is repeated a few times, after growing, jittered waits or when the source says. A source that keeps
failing is not asked for a while, so that no caller waits for it and it is not overloaded further.
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
    CircuitOpen,
    NotServed,
    RateLimited,
    RegionBlocked,
    RequestBudgetExceeded,
    SourceDown,
    SourceError,
    UnknownInstrument,
    UnreadableResponse,
)

Value = TypeVar("Value")

# The source itself does not work, and not only this request.
SYSTEM_FAILURES = (SourceDown, RateLimited, UnreadableResponse, RegionBlocked)
# Not reported: the source works and does not have it, or was not asked.
NOT_REPORTED = (UnknownInstrument, NotServed, RequestBudgetExceeded)
REPORT_EVERY_SECONDS = 10.0


class Report(Protocol):
    """Receives the state of a source: the error of a request or None, and until when it is not asked."""

    def __call__(self, source: str, error: SourceError | None, retry_at: datetime | None) -> None: ...


def no_report(source: str, error: SourceError | None, retry_at: datetime | None) -> None:
    pass


@dataclass(frozen=True)
class Budget:
    """The weight of requests allowed in a number of seconds, for one process."""

    weight: int
    seconds: float


@dataclass(frozen=True)
class RetryPolicy:
    attempts: int = 3
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 5.0
    # No new attempt after this: a Celery task is killed after 50 s.
    total_seconds: float = 15.0
    budget_seconds: float = 10.0


@dataclass(frozen=True)
class BreakerPolicy:
    """After how many failures a source is paused, and for how long."""

    after_failures: int = 3
    seconds: float = 30.0
    region_seconds: float = 900.0


class RequestGuard:
    """One for each source and process; threads may share it."""

    def __init__(
        self,
        source: str,
        budget: Budget | None = None,
        retries: RetryPolicy = RetryPolicy(),
        pause: BreakerPolicy = BreakerPolicy(),
        report: Report = no_report,
    ) -> None:
        self._source = source
        self._retries = retries
        self._pause = pause
        self._report = report
        self._reported_at = -REPORT_EVERY_SECONDS
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
        """What `ask` returns, after retries. Raises SourceError; CircuitOpen without asking."""
        try:
            answer = self._through_breaker(partial(self._with_retries, ask, weight))
        except pybreaker.CircuitBreakerError as error:
            raise CircuitOpen(self._source, self._last_failure, self._retry_at or datetime.now(UTC)) from error
        except SourceError as error:
            self._failed(error)
            raise
        # The first success after a failure is reported at once, further ones at intervals.
        if monotonic() - self._reported_at >= REPORT_EVERY_SECONDS:
            self._reported_at = monotonic()
            self._report(self._source, None, None)
        return answer

    def _through_breaker(self, ask: Callable[[], Value]) -> Value:
        if self._breaker.current_state != pybreaker.STATE_CLOSED:
            # Paused; or, when the pause is over, this request is the trial, and the others wait for it.
            return self._breaker.call(ask)
        # pybreaker holds its lock during a call. It only gets the outcome, so that threads can ask in parallel.
        try:
            answer = ask()
        except SourceError as error:
            with suppress(pybreaker.CircuitBreakerError, SourceError):
                self._breaker.call(_raise, error)
            raise
        # Another thread may have opened it meanwhile; the answer is valid all the same.
        with suppress(pybreaker.CircuitBreakerError):
            self._breaker.call(lambda: None)
        return answer

    def _with_retries(self, ask: Callable[[], Value], weight: int) -> Value:
        retries = self._retries
        attempts = stamina.retry_context(
            on=self._wait_of,
            attempts=retries.attempts,
            timeout=retries.total_seconds,
            wait_initial=retries.first_wait_seconds,
            wait_jitter=retries.first_wait_seconds,
            wait_max=retries.longest_wait_seconds,
        )
        for attempt in attempts:
            with attempt:
                limiter, wait = self._limiter, retries.budget_seconds
                if limiter and not limiter.try_acquire(self._source, weight, timeout=wait):
                    raise RequestBudgetExceeded(self._source, "request budget used up; it is asked again later")
                return ask()
        raise AssertionError("stamina ended without an answer and without an error")

    def _wait_of(self, error: Exception) -> float | bool:
        """For stamina: whether to retry, or after how many seconds."""
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= self._retries.longest_wait_seconds else False
        return isinstance(error, SourceError) and error.retry_helps

    def _failed(self, error: SourceError) -> None:
        if isinstance(error, SYSTEM_FAILURES):
            self._last_failure = error.problem
            # A Retry-After is obeyed, and a region block is not tried every minute.
            required = self._pause.region_seconds if isinstance(error, RegionBlocked) else 0.0
            if isinstance(error, RateLimited):
                required = error.retry_after or 0.0
            self._breaker.reset_timeout = max(self._pause.seconds, required)
            if required:
                self._breaker.open()
        if not isinstance(error, NOT_REPORTED):
            self._reported_at = -REPORT_EVERY_SECONDS
            self._report(self._source, error, self._retry_at)

    @property
    def _retry_at(self) -> datetime | None:
        opened = self._circuit.opened_at
        if self._breaker.current_state != pybreaker.STATE_OPEN or opened is None:
            return None
        return opened + timedelta(seconds=self._breaker.reset_timeout)


def _limiter(budget: Budget) -> Limiter:
    # Without the thread that would empty the bucket: it is emptied when something is put in.
    bucket = _SelfEmptyingBucket([Rate(budget.weight, int(budget.seconds * 1000))])
    return Limiter(SingleBucketFactory(bucket, schedule_leak=False))


class _SelfEmptyingBucket(InMemoryBucket):
    def put(self, item: RateItem) -> bool:
        self.leak(item.timestamp)
        return super().put(item)


def _raise(error: SourceError) -> None:
    raise error
