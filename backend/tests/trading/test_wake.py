"""Wake-ups are optional: an outage of the broker is logged once and never fails a transaction."""

import logging

import pytest
from django.db import transaction
from kombu.exceptions import OperationalError

from market.services import add_symbol
from trading.messages import wake
from trading.messages.adapter import DjangoAgentAdapter
from trading.messages.wake import Waker
from trading.models import AgentType, Message


class Broker:
    """Stands for the Celery app; fails while it is away."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.away = False

    def send_task(self, task: str, *, queue: str, **options: object) -> None:
        if self.away:
            raise OperationalError("refused")
        assert options == {"expires": wake.EXPIRES_SECONDS, "retry": False}
        self.sent.append((task, queue))


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(wake, "current_app", broker)
    return broker


def send(waker: Waker, key: str) -> None:
    DjangoAgentAdapter(AgentType.MARKET_MONITOR, waker).send_message(
        AgentType.DECISION_MAKER,
        Message.Type.MARKET_SNAPSHOT,
        {},
        key=key,
        symbol=add_symbol("BTCUSDT"),
        interval="1h",
    )


@pytest.mark.django_db(transaction=True)
def test_a_message_wakes_its_recipient_once_it_is_committed(broker: Broker) -> None:
    waker = Waker()
    with transaction.atomic():
        send(waker, "one")
        assert broker.sent == []
    assert broker.sent == [("trading.runtime.tasks.decide", "decisions")]


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_costs_no_message_and_one_line(
    broker: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.away, waker = True, Waker()
    monkeypatch.setattr(wake, "PAUSE_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING, logger="trading.messages.wake"):
        send(waker, "one")
        send(waker, "two")
    assert Message.objects.filter(processed_at=None).count() == 2
    assert [record.message for record in caplog.records] == [
        "the broker is away, the sweeps will find what waits: refused"
    ]
    broker.away = False
    send(waker, "three")
    assert broker.sent == [("trading.runtime.tasks.decide", "decisions")]


def test_no_wake_up_is_sent_just_after_an_outage_of_the_broker(broker: Broker) -> None:
    broker.away, waker = True, Waker()
    waker(AgentType.EXECUTION)
    broker.away = False
    waker(AgentType.EXECUTION)
    assert broker.sent == []
