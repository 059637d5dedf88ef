"""Every decision has exactly one outcome, also when nothing works."""

import numpy as np
import pytest
from django.utils import timezone

from tests.markets import random_candles
from tests.trading.markets import PlayedSource, market, pipeline, running_account, told
from trading.books.audit import differences
from trading.messages.adapter import MOST_ATTEMPTS
from trading.models import Account, Decision, Message

HISTORY = 60


@pytest.mark.django_db(transaction=True)
def test_a_decision_that_cannot_be_carried_out_has_failed_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    running_account()
    candles = random_candles(HISTORY + 5)
    answers = told(candles.index[HISTORY:], np.tile([0.1, 0.8, 0.1], (5, 1)))
    agents = pipeline(PlayedSource(candles, HISTORY), answers)

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("no price")

    agents.execution.quotes = broken
    agents.process_next(market())
    for _ in range(MOST_ATTEMPTS):
        Message.objects.update(available_at=timezone.now())
        agents.drain()
    decision = Decision.objects.get()
    report = Message.objects.get(type=Message.Type.EXECUTION_REPORT)
    assert (decision.status, decision.reason_code) == ("failed", "error")
    assert (report.payload["status"], report.payload["message"]) == ("failed", "ZeroDivisionError: no price")
    (line,) = differences(Account.objects.all())
    assert line.endswith("is parked: ZeroDivisionError: no price")
    assert agents.process_next(market())
    assert Decision.objects.count() == 2
