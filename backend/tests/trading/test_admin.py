"""The admin: every page opens with as many queries for many rows as for a few, and what happened stays as it was."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import numpy as np
import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from learning.models import ModelVersion, Promotion, PromotionKind, ShadowAnswer, TrainingTask
from market.models import Symbol
from market.services import add_symbol
from tests.trading.api.books import Book, book, make_position
from trading.messages.adapter import MOST_ATTEMPTS, DjangoAgentAdapter, Handled, requeue
from trading.models import (
    Account,
    AgentLog,
    AgentState,
    AgentType,
    CashEntry,
    Decision,
    EquityPoint,
    Follow,
    IdempotentAnswer,
    Message,
    Order,
    Position,
    Trade,
    TradingSettings,
)
from web.facts import MOST_COUNTED, BoundedPaginator

__all__ = ["book"]

FACTS = [
    Account,
    AgentLog,
    AgentState,
    CashEntry,
    Decision,
    EquityPoint,
    Follow,
    IdempotentAnswer,
    Message,
    ModelVersion,
    Order,
    Position,
    Promotion,
    ShadowAnswer,
    Trade,
    TrainingTask,
]
PAGES = [*FACTS, TradingSettings]


def page(model, kind: str, *arguments: int) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=arguments)


@pytest.fixture
def pages(client: Client, db, quick_passwords) -> Client:
    client.force_login(User.objects.create_superuser("root@example.com", "correct horse battery"))
    return client


@pytest.fixture
def traded(book: Book) -> Book:
    """Bought by hand and by a signal, sold by a signal; a model beside it."""
    book.pipeline.predictor.answers.update(dict.fromkeys(book.pipeline.predictor.answers, np.array([0.1, 0.1, 0.8])))
    book.play(1)
    book.order("BUY", "0.5", key="one")
    now = timezone.now()
    market = {"symbol": Symbol.objects.get(symbol="BTCUSDT"), "interval": "1h", "name": "random_forest"}
    version = ModelVersion.objects.create(
        **market,
        algorithm="random_forest",
        recipe={"seed": 42},
        first_time=now,
        last_time=now,
        rows=60,
        content_hash="f00d",
    )
    tenure = Promotion.objects.create(**market, version=version, kind=PromotionKind.FIRST)
    answered = {"tenure": tenure, "champion": [0.125, 0.25, 0.625]}
    ShadowAnswer.objects.create(**answered, open_time=now - timedelta(hours=1))
    against = {"challenger": [0.5, 0.25, 0.25], "challenged_by": version, "truth": 2}
    ShadowAnswer.objects.create(**answered, open_time=now, **against)
    TrainingTask.objects.create(**market, task_id=uuid4(), user=book.account.user, version=version)
    return book


def text(answer) -> str:
    assert answer.status_code == 200, answer
    return answer.content.decode()


def test_every_page_opens(pages: Client, traded: Book) -> None:
    traded.play(2)
    for model in PAGES:
        assert model.objects.exists(), model
        text(pages.get(page(model, "changelist")))
        text(pages.get(page(model, "change", model.objects.order_by("pk").last().pk)))


def test_every_kind_of_message_has_a_page(pages: Client, traded: Book) -> None:
    for message in Message.objects.all():
        assert "trace" in text(pages.get(page(Message, "change", message.pk)))


def test_more_rows_ask_no_more_of_the_database(pages: Client, traded: Book) -> None:
    models = [Decision, Message, Trade, Order, CashEntry, EquityPoint, AgentLog, Position, ShadowAnswer]

    def asked(model) -> int:
        with CaptureQueriesContext(connection) as queries:
            text(pages.get(page(model, "changelist")))
        return len(queries)

    asked(Trade)  # what Django keeps from the first request on
    few, rows = [asked(model) for model in models], [model.objects.count() for model in models]
    for _ in range(2):
        traded.play(1)
        traded.order("BUY", "0.1")
    make_position(traded.account, "ETHUSDT")
    answer = ShadowAnswer.objects.get(truth=2)
    answer.pk, answer.open_time = None, answer.open_time + timedelta(hours=1)
    answer.save()
    assert all(model.objects.count() > before for model, before in zip(models, rows, strict=True))
    assert [asked(model) for model in models] == few


def test_what_happened_cannot_be_changed(pages: Client, traded: Book) -> None:
    for model in FACTS:
        before = list(model.objects.order_by("pk").values())
        key = before[-1]["id"]
        for address in (page(model, "add"), page(model, "change", key), page(model, "delete", key)):
            assert pages.post(address, {"post": "yes", "cash": 1, "quantity": 1}).status_code == 403
        form = {"action": "delete_selected", "_selected_action": [key], "post": "yes"}
        pages.post(page(model, "changelist"), form)
        assert list(model.objects.order_by("pk").values()) == before


def test_a_shadow_answer_tells_who_said_what_and_what_it_became(pages: Client, traded: Book) -> None:
    settled = ShadowAnswer.objects.get(truth=2)
    for shown in (pages.get(page(ShadowAnswer, "changelist")), pages.get(page(ShadowAnswer, "change", settled.pk))):
        assert all(said in text(shown) for said in ("0.125 / 0.250 / 0.625", "0.500 / 0.250 / 0.250", ">BUY<"))
    linked = text(pages.get(page(ShadowAnswer, "change", settled.pk)))
    assert f'href="{page(Promotion, "change", settled.tenure_id)}"' in linked
    assert f'href="{page(ModelVersion, "change", settled.challenged_by_id)}"' in linked
    for term, found in (("BTCUSDT", 2), ("random_forest", 2), ("ETHUSDT", 0)):
        assert text(pages.get(page(ShadowAnswer, "changelist"), {"q": term})).count("0.125 / 0.250") == found


def test_the_chain_is_linked_from_each_of_its_parts(pages: Client, traded: Book) -> None:
    decision = Decision.objects.filter(order__isnull=False).first()
    told = Message.objects.get(type="TRADE_DECISION", account=traded.account, caused_by=decision.snapshot)
    report = told.effects.get()
    rows = [decision.snapshot, decision, told, decision.order, decision.order.trade, report]
    links = [f'href="{page(type(row), "change", row.pk)}"' for row in rows]
    for row in rows[1:]:
        shown = text(pages.get(page(type(row), "change", row.pk)))
        assert [link for link in links if link not in shown] == []
    assert f"snapshot__id__exact={decision.snapshot_id}" in text(pages.get(page(Message, "change", rows[0].pk)))


def test_an_order_by_hand_is_linked_to_its_report(pages: Client, traded: Book) -> None:
    order = Order.objects.get(decision=None)
    report = Message.objects.get(key__startswith="by-hand:")
    assert page(Message, "change", report.pk) in text(pages.get(page(Order, "change", order.pk)))
    assert page(Trade, "change", order.trade.pk) in text(pages.get(page(Message, "change", report.pk)))


def test_a_line_of_the_log_leads_to_the_messages_of_its_cycle(pages: Client, traded: Book) -> None:
    line = AgentLog.objects.filter(correlation_id__isnull=False).first()
    address = f"{page(Message, 'changelist')}?correlation_id__exact={line.correlation_id}"
    assert address in text(pages.get(page(AgentLog, "changelist")))
    assert "result_list" in text(pages.get(address))


def test_it_searches(pages: Client, traded: Book) -> None:
    found = {
        (model, term): pages.get(page(model, "changelist"), {"q": term}).context["cl"].result_count
        for term in ("BTCUSDT", "ann@example.com", "1", "nobody", "9" * 30, "²")
        for model in PAGES
    }
    assert found[Trade, "BTCUSDT"] == found[Trade, "ann@example.com"] == Trade.objects.count() > 0
    assert found[Account, "1"] == Account.objects.filter(pk=1).count()
    assert {count for (_, term), count in found.items() if term in ("nobody", "9" * 30, "²")} == {0}


def test_a_search_finds_the_rows_of_a_user(pages: Client, traded: Book) -> None:
    found = pages.get(page(Account, "changelist"), {"q": "ANN@example.com"}).context["cl"].result_count
    assert found == 1


def test_the_count_of_a_list_ends_at_a_bound(pages: Client, traded: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    assert BoundedPaginator(Follow.objects.order_by("pk"), 100).count == Follow.objects.count() < MOST_COUNTED
    monkeypatch.setattr("web.facts.MOST_COUNTED", 2)
    assert BoundedPaginator(Follow.objects.order_by("pk"), 100).count == 2


def settings_form(pages: Client, account: Account, **changes):
    address = page(TradingSettings, "change", account.settings.pk)
    form = pages.get(address).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    data = {name: value for name, value in (shown | changes).items() if value is not None and value is not False}
    return pages.post(address, data)


def test_settings_can_be_changed_and_the_agents_follow(pages: Client, traded: Book) -> None:
    answer = settings_form(pages, traded.account, status="stopped", max_position="0.25", replay_seconds="1.5")
    assert answer.status_code == 302
    row = TradingSettings.objects.get(account=traded.account)
    assert (row.status, row.max_position, row.replay_seconds) == ("stopped", Decimal("0.25"), 1.5)
    assert set(AgentState.objects.filter(user=traded.account.user).values_list("status", flat=True)) == {"STOPPED"}


def test_a_change_of_settings_leaves_its_neighbours_alone(pages: Client, traded: Book) -> None:
    assert settings_form(pages, traded.account, risk_level="low").status_code == 302
    row = TradingSettings.objects.get(account=traded.account)
    assert (row.risk_level, row.status, row.stop_loss) == ("low", "running", None)


def test_settings_that_the_api_refuses_are_refused(pages: Client, traded: Book) -> None:
    refused = {"interval": "7h", "model_type": "oracle", "prediction_horizon": "0", "replay_seconds": "-1"}
    answer = settings_form(pages, traded.account, **refused)
    assert set(answer.context["adminform"].form.errors) == set(refused)
    assert TradingSettings.objects.get(account=traded.account).interval == "1h"


def parked(number: int, kind: str = "MARKET_SNAPSHOT", symbol: str = "ETHUSDT", **fields) -> Message:
    values = {
        "key": f"parked:{number}",
        "type": kind,
        "sender": AgentType.MARKET_MONITOR,
        "recipient": AgentType.EXECUTION if kind == "TRADE_DECISION" else AgentType.DECISION_MAKER,
        "payload": {},
        "symbol": add_symbol(symbol),
        "interval": "1h",
        "attempts": MOST_ATTEMPTS,
        "parked_at": timezone.now(),
    }
    return Message.objects.create(**values | fields)


def ask_again(pages: Client, *rows: Message) -> list[str]:
    form = {"action": "requeue_parked", "_selected_action": [row.pk for row in rows]}
    answer = pages.post(page(Message, "changelist"), form, follow=True)
    return [str(message) for message in answer.context["messages"]]


def test_a_parked_message_is_tried_again(pages: Client) -> None:
    message = parked(1)
    assert ask_again(pages, message) == ["1 waiting again."]
    message.refresh_from_db()
    assert (message.parked_at, message.attempts) == (None, 0)
    claimed: list[int] = []

    def handle(messages) -> Handled:
        claimed.extend(row.pk for row in messages)
        return Handled()

    assert DjangoAgentAdapter(AgentType.DECISION_MAKER).work(handle) == 1
    assert claimed == [message.pk]


def test_a_decision_that_has_failed_is_not_tried_again(pages: Client) -> None:
    message = parked(1, "TRADE_DECISION")
    (said,) = ask_again(pages, message)
    assert said.startswith("1 left parked: a TRADE_DECISION has its outcome")
    message.refresh_from_db()
    assert message.parked_at is not None


def test_a_candle_is_not_decided_on_after_later_ones(pages: Client) -> None:
    message = parked(1)
    parked(2, parked_at=None, processed_at=timezone.now(), interval="1d")
    parked(3, parked_at=None, processed_at=timezone.now())
    (said,) = ask_again(pages, message)
    assert said.startswith("1 left parked: later candles")
    message.refresh_from_db()
    assert message.parked_at is not None


def test_parked_candles_are_tried_again_together(db) -> None:
    rows = [parked(1), parked(2), parked(3, "TRADE_DECISION"), parked(4, parked_at=None)]
    told = requeue(row.pk for row in rows)
    assert (told.waiting, told.given_up, told.overtaken, told.not_parked) == (2, 1, 0, 1)


def test_who_may_only_look_cannot_requeue(client: Client, db, quick_passwords) -> None:
    user = User.objects.create_user("eve@example.com", "correct horse battery", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_message"))
    client.force_login(user)
    message = parked(1)
    ask_again(client, message)
    message.refresh_from_db()
    assert message.parked_at is not None


def test_the_action_is_offered_for_messages_alone() -> None:
    offering = [model for model in PAGES if "requeue_parked" in admin.site.get_model_admin(model).actions]
    assert offering == [Message]


def test_a_user_with_books_is_not_deleted(pages: Client, traded: Book) -> None:
    pages.post(page(User, "delete", traded.account.user.pk), {"post": "yes"})
    assert User.objects.filter(pk=traded.account.user.pk).exists()
