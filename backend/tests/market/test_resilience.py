"""Request budget, retries and circuit breaker of a source, and what other processes see of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Barrier
from time import monotonic

import pandas as pd
import pytest
import time_machine

from market.errors import (
    CircuitOpen,
    InvalidResponse,
    NotServed,
    RateLimited,
    RegionBlocked,
    RequestBudgetExceeded,
    SourceDown,
    SourceError,
    UnknownInstrument,
    UnreadableResponse,
)
from market.models import SourceState
from market.sources.health import record, source_states
from market.sources.resilience import BreakerPolicy, Budget, RequestGuard, RetryPolicy, no_report
from tests.market.servers import faults
from tests.market.venues import NOW, Venue

QUICK = RetryPolicy(attempts=3, first_wait_seconds=0.001, longest_wait_seconds=0.05, budget_seconds=0.05)
DOWN, GARBLED = SourceDown("bybit", "it cannot be reached"), UnreadableResponse("bybit", "cut off")


class Asked:
    """Answers with what it was given, one after the other; an error is raised."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.times: list[float] = []

    def __call__(self) -> object:
        self.times.append(monotonic())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Heard:
    def __init__(self) -> None:
        self.news: list[tuple[SourceError | None, datetime | None]] = []

    def __call__(self, source: str, error: SourceError | None, retry_at: datetime | None) -> None:
        assert source == "bybit"
        self.news.append((error, retry_at))


def guard(report: Callable[..., None] = no_report, budget: Budget | None = None, **pause: float) -> RequestGuard:
    return RequestGuard(
        "bybit", budget, QUICK, BreakerPolicy(**{"after_failures": 2, "seconds": 30.0, **pause}), report
    )


def fails(subject: RequestGuard, *errors: SourceError, attempts: int = 3) -> Asked:
    """Each error is the outcome of one call, after all its attempts."""
    asked = Asked(*(error for error in errors for _ in range(attempts)))
    for error in errors:
        with pytest.raises(type(error)):
            subject(asked)
    return asked


def test_a_call_that_is_tried_again_writes_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    fails(guard(), DOWN)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "error", [DOWN, GARBLED, RateLimited("bybit", "too often")], ids=lambda error: type(error).__name__
)
def test_what_may_pass_is_asked_again(error: SourceError):
    asked = Asked(error, error, "answer")
    assert guard()(asked) == "answer"
    assert len(asked.times) == 3


@pytest.mark.parametrize("error", [InvalidResponse, UnknownInstrument, NotServed, RegionBlocked])
def test_what_will_not_pass_is_not_asked_again(error: type[SourceError]):
    asked = Asked(error("bybit", "no"), "answer")
    with pytest.raises(error):
        guard()(asked)
    assert len(asked.times) == 1


def test_waits_grow_and_differ():
    retries = RetryPolicy(attempts=4, first_wait_seconds=0.02, longest_wait_seconds=1.0)
    waits = []
    for _ in range(4):
        asked = Asked(DOWN, DOWN, DOWN, "answer")
        assert RequestGuard("bybit", None, retries)(asked) == "answer"
        waits.append([after - before for before, after in pairwise(asked.times)])
    assert all(first >= 0.02 and second >= 0.04 and third >= 0.08 for first, second, third in waits)
    assert len({round(first, 4) for first, *_ in waits}) > 1


def test_a_source_is_asked_again_when_it_said():
    asked = Asked(RateLimited("bybit", "too often", 0.05), "answer")
    assert guard()(asked) == "answer"
    assert asked.times[1] - asked.times[0] >= 0.05


def test_a_source_that_wants_more_time_than_we_have_is_left_alone_for_it():
    heard = Heard()
    subject = guard(heard)
    with time_machine.travel(NOW, tick=False):
        asked = fails(subject, RateLimited("bybit", "too often", 120.0), attempts=1)
        assert len(asked.times) == 1
        with pytest.raises(CircuitOpen, match="paused until 12:32:20 UTC, because too often") as caught:
            subject(asked)
        assert caught.value.retry_at == NOW + timedelta(seconds=120)
        assert [retry_at for _, retry_at in heard.news] == [NOW + timedelta(seconds=120)]
    with time_machine.travel(NOW + timedelta(seconds=119), tick=False), pytest.raises(CircuitOpen):
        subject(asked)
    with time_machine.travel(NOW + timedelta(seconds=121), tick=False):
        assert subject(Asked("answer")) == "answer"


def test_a_source_that_goes_on_failing_is_not_asked_for_a_while():
    heard = Heard()
    subject = guard(heard)
    with time_machine.travel(NOW, tick=False):
        fails(subject, DOWN, DOWN)
        with pytest.raises(CircuitOpen, match="because it cannot be reached"):
            subject(Asked())
    assert heard.news == [(DOWN, None), (DOWN, NOW + timedelta(seconds=30))]
    # After the pause one request decides, and it fails: another pause.
    with time_machine.travel(NOW + timedelta(seconds=31), tick=False):
        fails(subject, DOWN)
        with pytest.raises(CircuitOpen):
            subject(Asked())
    with time_machine.travel(NOW + timedelta(seconds=62), tick=False):
        assert subject(Asked("answer")) == "answer"
        assert subject(Asked("and another")) == "and another"
    assert heard.news[2:] == [(DOWN, NOW + timedelta(seconds=61)), (None, None)]


def test_a_success_starts_the_count_again():
    subject = guard()
    fails(subject, DOWN)
    assert subject(Asked("answer")) == "answer"
    fails(subject, DOWN)
    assert subject(Asked("answer")) == "answer"


def test_a_bad_answer_about_one_instrument_does_not_close_the_source_to_the_others():
    subject = guard()
    fails(subject, *[InvalidResponse("bybit", "price of zero")] * 10, attempts=1)
    assert subject(Asked("answer")) == "answer"


def test_a_place_that_is_not_served_is_not_asked_from_every_minute():
    subject = guard(region_seconds=900.0)
    with time_machine.travel(NOW, tick=False):
        fails(subject, RegionBlocked("bybit", "not here"), attempts=1)
    with time_machine.travel(NOW + timedelta(seconds=890), tick=False), pytest.raises(CircuitOpen):
        subject(Asked())
    with time_machine.travel(NOW + timedelta(seconds=901), tick=False):
        assert subject(Asked("answer")) == "answer"


def test_the_budget_is_kept_by_waiting_and_then_by_refusing():
    subject = RequestGuard("bybit", Budget(weight=10, seconds=0.04), RetryPolicy(budget_seconds=10.0))
    started = monotonic()
    for _ in range(3):
        subject(Asked("answer"), 10)
    assert monotonic() - started >= 0.08
    slow = guard(budget=Budget(weight=10, seconds=60.0))
    slow(Asked("answer"), 6)
    asked = Asked("answer")
    with pytest.raises(RequestBudgetExceeded, match="request budget used up"):
        slow(asked, 6)
    assert asked.times == []
    # It says nothing about the source.
    slow(Asked("answer"), 4)


def test_a_mistake_of_ours_is_no_failure_of_the_source():
    heard = Heard()
    subject = guard(heard)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            subject(lambda: 1 / 0)
    assert heard.news == []
    assert subject(Asked("answer")) == "answer"


def test_threads_ask_side_by_side():
    subject, together = guard(), Barrier(4, timeout=5)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda _: subject(together.wait), range(4)))) == 4


def test_successes_are_reported_now_and_then():
    heard = Heard()
    subject = guard(heard)
    for _ in range(50):
        subject(Asked("answer"))
    assert heard.news == [(None, None)]


def test_a_real_client_recovers_by_itself(venue: Venue):
    truth = venue.trades(2_500)
    heard: list[object] = []
    subject = RequestGuard(venue.source.name, None, QUICK, report=lambda *news: heard.append(news))
    source = venue.with_http(guard=subject)
    source.candles(venue.symbol, "1h", NOW - timedelta(hours=3), NOW)
    data = {"yahoo": "BTC-USD", "ccxt:bitstamp": "btcusdt"}.get(source.name, "")
    for fault in (faults.SERVER_ERROR, faults.TRUNCATED, faults.NONE, faults.CUT_OFF, faults.status(429)):
        venue.server.faults.add(fault, times=1, path=data)
    candles = source.candles(venue.symbol, "1h", truth.start, NOW)
    pd.testing.assert_frame_equal(candles, truth.closed(truth.start, NOW, NOW))
    assert len(heard) == 1


def test_a_real_client_leaves_a_broken_source_alone(venue: Venue):
    venue.trades(10)
    source = venue.with_http(guard=RequestGuard(venue.source.name, None, QUICK, BreakerPolicy(after_failures=2)))
    venue.server.faults.add(faults.SERVER_ERROR)
    for _ in range(2):
        with pytest.raises(SourceDown):
            source.candles(venue.symbol, "1h", NOW - timedelta(hours=3), NOW)
    asked = len(venue.server.asked)
    with pytest.raises(CircuitOpen):
        source.candles(venue.symbol, "1h", NOW - timedelta(hours=3), NOW)
    assert len(venue.server.asked) == asked


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_other_processes_see_how_a_source_is_doing():
    subject = guard(record)
    fails(subject, DOWN)
    [state] = source_states()
    assert (state.name, state.state, state.failures, state.last_error) == ("bybit", "working", 1, DOWN.problem)
    assert (state.last_failure_at, state.last_success_at, state.retry_at) == (NOW, None, None)
    fails(subject, DOWN)
    [state] = source_states()
    assert (state.state, state.failures, state.retry_at) == ("paused", 2, NOW + timedelta(seconds=30))
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False):
        subject(Asked("answer"))
    [state] = source_states()
    assert (state.state, state.failures, state.retry_at) == ("working", 0, None)
    assert state.last_success_at == NOW + timedelta(minutes=1)
    assert state.last_error == DOWN.problem


@pytest.mark.django_db
def test_a_question_that_has_no_answer_says_nothing_about_the_source():
    subject = guard(record)
    fails(subject, UnknownInstrument("bybit", "it has no XYZ"), NotServed("bybit", "too old"), attempts=1)
    assert not SourceState.objects.exists()


@pytest.mark.django_db
def test_a_success_costs_one_write():
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    record("bybit", None, None)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        record("bybit", None, None)
    assert len(queries) == 1
    assert datetime.now(UTC) - source_states()[0].last_success_at < timedelta(minutes=1)
