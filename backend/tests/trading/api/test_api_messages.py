import pytest

from accounts.models import User
from market.services import add_symbol
from tests.api import make_user, problem
from tests.trading.api.markets import API, account_of, body, results
from trading.books.accounts import start_agents
from trading.models import Account, Follow, Message

MESSAGES = API + "messages/"
KEYS = ["id", "timestamp", "to", "type", "payload", "caused_by", "correlation_id", "processed_at", "status", "from"]


@pytest.fixture
def worked(user: User, played) -> Account:
    """An account for which the agents have worked off one candle."""
    account = account_of(user)
    start_agents(account)
    played.turn()
    return account


def test_a_cycle_is_three_messages(client, worked):
    report, decision, snapshot = results(client.get(MESSAGES))
    assert set(report) == set(KEYS)
    assert [row["type"] for row in (snapshot, decision, report)] == [
        "MARKET_SNAPSHOT", "TRADE_DECISION", "EXECUTION_REPORT"
    ]  # fmt: skip
    assert [(row["from"], row["to"]) for row in (snapshot, decision, report)] == [
        ("market", "decision"), ("decision", "execution"), ("execution", None)
    ]  # fmt: skip
    assert [row["caused_by"] for row in (snapshot, decision, report)] == [None, snapshot["id"], decision["id"]]
    assert {row["status"] for row in (snapshot, decision, report)} == {"processed"}
    assert len({row["correlation_id"] for row in (snapshot, decision, report)}) == 1
    assert body(client.get(f"{MESSAGES}{report['id']}/")) == report


def test_what_waits_and_what_is_parked(client, played):
    played.observe()
    assert results(client.get(MESSAGES))[0]["status"] == "pending"
    Message.objects.update(parked_at="2026-11-20T00:00:00Z")
    assert results(client.get(MESSAGES))[0]["status"] == "parked"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("type=TRADE_DECISION", 1),
        ("symbol=btcusdt", 3),
        ("symbol=AAPL", 0),
        ("limit=2", 2),
        ("from_date=2999-01-01", 0),
    ],
)
def test_they_can_be_filtered(client, worked, query, count):
    assert len(results(client.get(f"{MESSAGES}?{query}"))) == count


@pytest.mark.parametrize("query", ["type=x", "type=%00", "symbol=%00", "limit=0", "symbol_id=x", "from_date=x"])
def test_bad_filters_are_400(client, query):
    assert problem(client.get(f"{MESSAGES}?{query}"))[0] == 400


def test_a_stranger_sees_the_market_and_nothing_else(client, stranger, worked):
    seen = results(stranger.get(MESSAGES))
    assert [row["type"] for row in seen] == ["MARKET_SNAPSHOT"]
    for message in Message.objects.filter(account=worked):
        assert problem(stranger.get(f"{MESSAGES}{message.pk}/")) == (404, "not_found")
    Follow.objects.exclude(account=worked).delete()
    assert results(stranger.get(MESSAGES)) == []
    assert problem(stranger.get(f"{MESSAGES}{seen[0]['id']}/")) == (404, "not_found")


def test_nobody_can_write_one(client, worked):
    pk = Message.objects.first().pk
    answers = [client.post(MESSAGES, {}), client.delete(f"{MESSAGES}{pk}/"), client.put(f"{MESSAGES}{pk}/", {})]
    assert {problem(answer) for answer in answers} == {(405, "method_not_allowed")}


@pytest.mark.parametrize("count", [5, 50])
def test_a_list_costs_the_same_however_long(client, user, count, django_assert_num_queries):
    symbol, accounts = add_symbol("BTCUSDT"), [account_of(user), account_of(make_user()), None]
    Message.objects.bulk_create(
        Message(
            key=f"{n}-{number}", type="MARKET_SNAPSHOT", payload={}, symbol=symbol, sender="EXECUTION", account=account
        )
        for n in range(count // 2)
        for number, account in enumerate(accounts)
    )
    with django_assert_num_queries(7):
        assert len(results(client.get(MESSAGES))) == count // 2 * 2
