"""Paper orders by hand: prices of the platform, the gate of the agents, and once per key."""

from decimal import Decimal
from threading import Barrier, Thread

import pytest
from django.db import connection

from tests.api import api_client, make_user, problem
from tests.trading.api.books import Book
from trading.books.audit import differences
from trading.models import Account, AgentLog, IdempotentAnswer, Message, Order, Position, Trade, TradingSettings

pytestmark = pytest.mark.django_db

# 10 units at 100: 0.1 % slippage, and 0.1 % commission rounded up to a cent.
BOUGHT = {
    "status": "executed",
    "action": "BUY",
    "symbol": "BTCUSDT",
    "price": 100.1,
    "quantity": 10,
    "commission": 1.01,
    "slippage": 0.1,
}


def test_an_order_is_filled_at_the_first_price_that_can_be_had(book: Book):
    answer = book.order("BUY", 10)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert {name: body[name] for name in BOUGHT} == BOUGHT
    assert body["account"] == {
        "balance": 10000.0,
        "equity": 9998.99,
        "freeCash": 8997.99,
        "usedMargin": 1002.01,
        "initialBalance": 10000.0,
        "unrealizedPnL": -1.01,
    }
    assert body["position"]["quantity"] == 10
    assert body["trade"]["requested_price"] == 100
    assert body["trade"]["decision_id"] is None
    assert body["trade"]["reason"] == "manual"


def test_a_sale_earns_what_is_left_of_both_prices(book: Book):
    book.order("BUY", 10)
    book.play()
    body = book.order("SELL", 10).json()
    assert body["price"] == 109.89
    assert body["position"] is None
    assert body["trade"]["pnl"] == 95.79
    assert body["trade"]["pnl_percent"] == 9.56
    assert body["account"]["balance"] == body["account"]["freeCash"] == body["account"]["equity"] == 10095.79


def test_the_mean_of_large_prices_adds_up_on_every_database(monkeypatch: pytest.MonkeyPatch, unthrottled):
    book = Book(monkeypatch, [39_544.69, 39_601.34, 39_601.34], stop_loss=None, take_profit=None)
    for quantity in ("0.0057", "0.0064"):
        book.play()
        assert book.order("BUY", quantity).status_code == 200
    assert len(str(Position.objects.get().entry_price.normalize())) == 16  # 15 digits and the point
    assert list(differences(Account.objects.all())) == []


def test_numbers_are_written_with_their_places(book: Book):
    text = book.order("BUY", 10).content.decode()
    assert '"price":100.10,' in text
    assert '"quantity":10,' in text
    assert '"balance":10000.00,' in text


def test_a_part_can_be_sold(book: Book):
    book.order("BUY", "0.5")
    answer = book.order("SELL", "0.2")
    assert answer.json()["position"]["quantity"] == 0.3
    assert Position.objects.get().closed_at is None


def test_an_order_leaves_books_that_add_up(book: Book):
    book.order("BUY", 10)
    book.play()
    book.order("SELL", 4)
    book.order("SELL", 6)
    assert list(differences(Account.objects.all())) == []
    reports = Message.objects.filter(type="EXECUTION_REPORT", payload__reason_code="manual")
    assert [report.payload["order_id"] for report in reports.order_by("pk")] == list(
        Order.objects.order_by("pk").values_list("client_order_id", flat=True)
    )
    assert AgentLog.objects.filter(message__contains="by hand").count() == 3


@pytest.mark.parametrize(
    ("limits", "action", "quantity", "expected"),
    [
        ({}, "SELL", 1, (409, "no_position")),
        ({}, "BUY", 60, (409, "position_limit")),
        ({"max_position": 1}, "BUY", 100, (409, "insufficient_cash")),
        ({"kill_switch": True}, "BUY", 1, (409, "kill_switch")),
        ({"max_entries_per_day": 0}, "BUY", 1, (409, "entries_per_day")),
        ({}, "BUY", "0.000001", (400, "quantity_too_small")),
        ({}, "BUY", "0.01", (400, "notional_too_small")),
    ],
)
def test_the_gate_refuses_with_its_code(book: Book, limits, action: str, quantity: object, expected):
    TradingSettings.objects.filter(account=book.account).update(**limits)
    assert problem(book.order(action, quantity)) == expected
    assert not Order.objects.exists()


def test_the_exposure_limit_counts_what_is_held(book: Book):
    settings = {"maxPositionSize": 1, "maxExposure": 0.15}
    assert book.client.patch("/api/trading/settings/", settings).status_code == 200
    assert book.order("BUY", 10).status_code == 200  # 1,000 of 10,000
    answer = book.order("BUY", 10)
    assert problem(answer) == (409, "exposure_limit")
    assert "positions of 2000.00 would be above 15 % of the equity 9997.99" in answer.json()["detail"]
    assert book.order("BUY", 4).status_code == 200
    book.client.patch("/api/trading/settings/", {"maxExposure": None})
    assert book.order("BUY", 10).status_code == 200


def test_more_than_is_held_cannot_be_sold(book: Book):
    book.order("BUY", 1)
    assert problem(book.order("SELL", 2)) == (409, "exceeds_position")
    assert Trade.objects.count() == 1


@pytest.mark.parametrize("quantity", [0, -1, "NaN", "Infinity", "1e400", True, None, "x", [1], {}, "9" * 40, "", 1e-13])
def test_a_bad_quantity_is_400(book: Book, quantity: object):
    answer = book.order("BUY", quantity)
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == ["quantity"]


@pytest.mark.parametrize("symbol", ["", "../etc", "NOSUCH", 5, None, "A" * 500, "B\0"])
def test_a_bad_symbol_is_400(book: Book, symbol: object):
    assert problem(book.order("BUY", 1, symbol=symbol)) == (400, "invalid")


@pytest.mark.parametrize("action", ["HOLD", "buy", "", 1, None])
def test_a_bad_action_is_400(book: Book, action: object):
    assert problem(book.order(action, 1)) == (400, "invalid")


def test_a_price_of_the_client_is_not_looked_at(book: Book):
    body = {"action": "BUY", "symbol": "BTCUSDT", "quantity": 10, "price": 1, "executed_price": 1, "pnl": 10**6}
    assert book.client.post("/api/trading/demo/orders/", body).json()["price"] == 100.1


@pytest.mark.parametrize("symbol", ["ETHUSDT", "AAPL"])
def test_a_market_without_a_price_is_503(book: Book, symbol: str):
    answer = book.order("BUY", 1, symbol=symbol)
    assert problem(answer) == (503, "no_price")
    assert int(answer["Retry-After"]) > 0


def test_the_end_of_a_market_is_503(book: Book):
    book.play(5)
    assert problem(book.order("BUY", 1)) == (503, "no_price")


def test_a_key_is_carried_out_once(book: Book):
    first, second = book.order("BUY", 10, key="a-1"), book.order("BUY", "10.0", key="a-1")
    assert first.content == second.content
    assert second.status_code == 200
    assert Trade.objects.count() == 1


def test_a_repeated_key_gets_the_first_answer_whatever_has_happened_since(book: Book):
    first = book.order("BUY", 10, key="a-1")
    book.play(5)
    assert book.order("BUY", 10, key="a-1").content == first.content


def test_a_refusal_is_repeated_too(book: Book):
    assert problem(book.order("SELL", 1, key="a-1")) == (409, "no_position")
    book.order("BUY", 1)
    assert problem(book.order("SELL", 1, key="a-1")) == (409, "no_position")


def test_a_key_of_another_order_is_409(book: Book):
    book.order("BUY", 10, key="a-1")
    assert problem(book.order("BUY", 11, key="a-1")) == (409, "idempotency_key_reused")
    assert Trade.objects.count() == 1


def test_an_outage_is_not_kept(book: Book):
    assert problem(book.order("BUY", 1, key="a-1", symbol="ETHUSDT")) == (503, "no_price")
    assert not IdempotentAnswer.objects.exists()


def test_keys_belong_to_their_account(book: Book):
    book.order("BUY", 10, key="a-1")
    other = api_client(make_user("bob@example.com"))
    answer = other.post(
        "/api/trading/demo/orders/",
        {"action": "BUY", "symbol": "BTCUSDT", "quantity": 2},
        headers={"Idempotency-Key": "a-1"},
    )
    assert answer.json()["quantity"] == 2


@pytest.mark.parametrize("key", ["a b", "x" * 201, "\x7f", "ä"])
def test_a_bad_key_is_400(book: Book, key: str):
    assert problem(book.order("BUY", 1, key=key)) == (400, "invalid_idempotency_key")


def at_once(*acts) -> list:
    """All at the same moment, each on a connection of its own."""
    barrier, answers = Barrier(len(acts)), []

    def run(act) -> None:
        barrier.wait()
        try:
            answers.append(act())
        finally:
            connection.close()

    threads = [Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.django_db(transaction=True)
def test_parallel_orders_of_one_key_trade_once(on_disk, book: Book):
    answers = at_once(*[lambda: book.order("BUY", 10, key="a-1")] * 5)
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.content for answer in answers}) == 1
    assert Trade.objects.count() == 1
    assert Account.objects.get(pk=book.account.pk).cash == Decimal("8997.99")


@pytest.mark.django_db(transaction=True)
def test_parallel_orders_never_spend_the_same_money(on_disk, book: Book):
    TradingSettings.objects.filter(account=book.account).update(max_position=1)
    answers = at_once(*[lambda: book.order("BUY", 40)] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    assert list(differences(Account.objects.all())) == []


@pytest.mark.django_db(transaction=True)
def test_parallel_closes_of_one_position_sell_once(on_disk, book: Book):
    position = book.order("BUY", 10).json()["position"]["id"]
    answers = at_once(*[lambda: book.client.post("/api/trading/positions/close/", {"position_id": position})] * 5)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert Trade.objects.filter(action="SELL").count() == 1
