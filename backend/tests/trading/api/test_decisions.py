"""Decisions: what was decided, why, what became of it, and asking for a new one."""

from uuid import UUID

import pytest

from engine.features import FEATURES
from tests.api import make_user, problem
from tests.trading.api.books import NOON, Book, hours, make_decision
from tests.trading.api.markets import NONSENSE
from trading.books.accounts import open_account
from trading.models import Decision, Message

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords", "unthrottled")]
DECISIONS = "/api/trading/decisions/"
KEYS = {
    *("id", "symbol", "symbol_id", "symbol_name", "decision", "confidence", "reasoning", "metadata", "created_at"),
    *("status", "executed_at", "reason_code"),
}
METADATA = {
    *("model_type", "model_version", "probabilities", "risk_score", "quantity", "price", "features", "contributions"),
    *("indicators", "analysis"),
}


@pytest.fixture
def traded(monkeypatch, db, quick_passwords, unthrottled) -> Book:
    """A purchase, a refusal to do it again, a sale, and a HOLD that waits for its price."""
    book = Book(monkeypatch, [110.0, 120.0, 120.0, 120.0], "BBS.", stop_loss=None, take_profit=None)
    book.play(4)
    return book


def ids(answer) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_a_decision_has_the_shape_of_the_contract(traded: Book):
    rows = traded.get("decisions/")["results"]
    assert [(row["decision"], row["status"], row["reason_code"]) for row in rows] == [
        ("HOLD", "pending", ""),
        ("SELL", "executed", "signal"),
        ("BUY", "skipped", "position_open"),
        ("BUY", "executed", "signal"),
    ]
    row = rows[-1]
    assert set(row) >= KEYS
    assert (row["symbol"], row["confidence"], row["close_time"]) == ("BTCUSDT", 80.0, "2024-01-03T13:00:00Z")
    assert row["executed_at"].endswith("Z")
    metadata = row["metadata"]
    assert set(metadata) == METADATA
    assert metadata["probabilities"] == {"SELL": 0.1, "HOLD": 0.1, "BUY": 0.8}
    assert set(metadata["features"]) == set(FEATURES)
    assert metadata["price"] == 110.0
    assert metadata["indicators"]["sma10"] == pytest.approx(100.975)
    assert metadata["analysis"]["trend"] in {"bull", "bear", "sideways"}
    one = traded.get(f"decisions/{row['id']}/")
    assert one["metadata"].pop("explanation")["rule"]["code"] == "reached_threshold"
    assert one == row


def test_confidence_is_in_percent_with_two_places(client, account):
    make_decision(account, confidence=0.65432)
    assert b'"confidence":65.43,' in client.get(DECISIONS).content


def test_contributions_are_null_until_they_are_known(client, account):
    make_decision(account)
    explained = make_decision(account, explanation={"contributions": {"close": 0.1}}, time=NOON + hours(1))
    first, second = client.get(DECISIONS).json()["results"]
    assert first["id"] == explained.pk
    assert (first["metadata"]["contributions"], second["metadata"]["contributions"]) == ({"close": 0.1}, None)
    assert first["metadata"]["probabilities"] is None


def test_decisions_come_newest_first_and_can_be_filtered(client, account):
    first = make_decision(account, action="BUY", status="executed")
    second = make_decision(account, action="SELL", status="rejected", time=NOON + hours(1))
    third = make_decision(account, symbol="ETHUSDT", time=NOON + hours(24))
    assert ids(client.get(DECISIONS)) == [third.pk, second.pk, first.pk]
    for parameters, expected in [
        ({"symbol": "ethusdt"}, [third]),
        ({"symbol_id": first.symbol_id}, [second, first]),
        ({"action": "SELL"}, [second]),
        ({"decision": "BUY"}, [first]),
        ({"decision": "BUY", "action": "SELL"}, []),
        ({"status": "rejected"}, [second]),
        ({"from_date": "2026-03-03"}, [third]),
        ({"to_date": "2026-03-02T12:00:00Z"}, [first]),
        ({"limit": 2}, [third, second]),
    ]:
        assert ids(client.get(DECISIONS, parameters)) == [row.pk for row in expected], parameters


BAD_FILTERS = [("action", "buy"), ("decision", "X"), ("status", "done"), ("symbol_id", "9" * 40), ("symbol", "\0")]


@pytest.mark.parametrize(("name", "value"), [*BAD_FILTERS, ("from_date", "2026-02-30")])
@pytest.mark.parametrize("path", ["", "statistics/"])
def test_a_bad_filter_is_400(client, path: str, name: str, value: str):
    assert list(client.get(DECISIONS + path, {name: value}).json()["fields"]) == [name]


@pytest.mark.parametrize("number", ["0", "9999", "9" * 30])
@pytest.mark.parametrize("path", ["", "trace/"])
def test_an_unknown_decision_is_404(client, number: str, path: str):
    assert problem(client.get(f"{DECISIONS}{number}/{path}")) == (404, "not_found")


def test_statistics_count_by_kind(client, account):
    for action, status, reason in [
        ("BUY", "executed", "signal"),
        ("SELL", "rejected", "stale_quote"),
        ("HOLD", "pending", ""),
    ]:
        make_decision(account, action=action, status=status, reason_code=reason)
    found = client.get(DECISIONS + "statistics/").json()
    assert found["total"] == 3
    assert found["by_decision"]["BUY"] == {"count": 1, "percentage": 33.33}
    assert found["by_status"] == {"pending": 1, "executed": 1, "skipped": 0, "rejected": 1, "failed": 0}
    assert found["by_reason"] == {"signal": 1, "stale_quote": 1}
    assert len(found["recent"]) == 3
    assert client.get(DECISIONS + "statistics/", {"action": "BUY"}).json()["total"] == 1


def test_statistics_of_nothing_have_no_percentages(client):
    found = client.get(DECISIONS + "statistics/").json()
    assert found["by_decision"]["SELL"] == {"count": 0, "percentage": None}
    assert (found["total"], found["recent"]) == (0, [])


def test_a_trace_is_the_whole_chain(traded: Book):
    bought = Decision.objects.filter(status="executed", action="BUY").get()
    trace = traded.get(f"decisions/{bought.pk}/trace/")
    assert UUID(trace["correlation_id"]) == bought.snapshot.correlation_id
    assert trace["snapshot"]["id"] == bought.snapshot_id
    assert trace["decision"]["id"] == bought.pk
    assert trace["decision_message"]["caused_by"] == bought.snapshot_id
    assert trace["decision_message"]["payload"]["decision_id"] == bought.pk
    assert trace["order"]["order_id"] == f"decision-{bought.pk}"
    (fill,) = trace["fills"]
    assert (fill["order_id"], fill["decision_id"]) == (trace["order"]["order_id"], bought.pk)
    assert trace["report"]["caused_by"] == trace["decision_message"]["id"]
    assert trace["report"]["payload"]["executed_price"] == fill["price"]


def test_a_trace_ends_where_the_chain_ended(traded: Book):
    waiting, skipped = (Decision.objects.get(status=status) for status in ("pending", "skipped"))
    trace = traded.get(f"decisions/{waiting.pk}/trace/")
    assert (trace["order"], trace["fills"], trace["report"]) == (None, [], None)
    trace = traded.get(f"decisions/{skipped.pk}/trace/")
    assert (trace["order"], trace["report"]["payload"]["reason_code"]) == (None, "position_open")


def test_a_trace_holds_nothing_of_other_accounts(traded: Book):
    bought = Decision.objects.filter(status="executed", action="BUY").get()
    told = Message.objects.get(caused_by=bought.snapshot, type="TRADE_DECISION")
    other = open_account(make_user("bob@example.com"))
    Message.objects.filter(pk=told.pk).update(account=other)
    assert traded.get(f"decisions/{bought.pk}/trace/")["decision_message"] is None


def test_a_decision_can_be_asked_for(client, played):
    played.observe()
    first = client.post(DECISIONS, {"symbol_id": played.symbol.pk})
    assert first.status_code == 201, first.content
    again = client.post(DECISIONS, {"symbol_id": played.symbol.pk})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert client.get(f"{DECISIONS}{first.json()['id']}/").json() == first.json()


@pytest.mark.parametrize("value", [value for value in NONSENSE if not isinstance(value, int) or value != 10**30])
def test_a_bad_body_is_400(client, value: object):
    assert problem(client.post(DECISIONS, {"symbol_id": value})) == (400, "invalid")


@pytest.mark.parametrize("field", ["decision", "price", "confidence", "metadata"])
def test_the_client_supplies_no_decision(client, played, field: str):
    played.observe()
    answer = client.post(DECISIONS, {"symbol_id": played.symbol.pk, field: "SELL"})
    assert answer.json()["decision"] == "BUY"


def test_decisions_are_read_only(client, account):
    decision = make_decision(account)
    for method in ("put", "patch", "delete"):
        answer = getattr(client, method)(f"{DECISIONS}{decision.pk}/", {"status": "executed"})
        assert problem(answer) == (405, "method_not_allowed")


@pytest.mark.parametrize("count", [5, 50])
def test_a_list_costs_the_same_however_long(client, account, count: int, django_assert_num_queries):
    for number in range(count):
        make_decision(account, symbol=["BTCUSDT", "ETHUSDT", "AAPL"][number % 3])
    with django_assert_num_queries(5):  # user, account, count, keys, page
        assert len(ids(client.get(DECISIONS))) == count
    with django_assert_num_queries(4):  # user, account, recent, counts
        client.get(DECISIONS + "statistics/")
