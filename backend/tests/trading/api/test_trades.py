"""Trades: one row for each fill, to the cent, newest first."""

import pytest

from tests.api import problem
from tests.trading.api.books import NOON, Book, hours, make_trade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords", "unthrottled")]
TRADES = "/api/trading/trades/"
KEYS = {
    *("id", "symbol", "symbol_id", "symbol_name", "action", "price", "requested_price", "quantity", "commission"),
    *("slippage", "pnl", "pnl_percent", "order_id", "decision_id", "agent", "timestamp"),
}


def ids(answer) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_a_trade_of_the_agents_has_the_shape_of_the_contract(monkeypatch, db, quick_passwords, unthrottled):
    book = Book(monkeypatch, [110.0, 120.0, 120.0], "BS.", stop_loss=None, take_profit=None)
    book.play(3)
    sold, bought = book.get("trades/")["results"]
    assert set(sold) >= KEYS
    assert (bought["action"], bought["pnl"], bought["pnl_percent"]) == ("BUY", None, None)
    assert (bought["requested_price"], bought["price"], bought["slippage"]) == (110.0, 110.11, 0.11)
    assert bought["agent"] == "EXECUTION"
    assert bought["reason"] == "signal"
    assert bought["order_id"] == f"decision-{bought['decision_id']}"
    assert bought["timestamp"] == "2024-01-03T13:00:00Z"
    paid = bought["quantity"] * 110.11 + bought["commission"]
    earned = sold["quantity"] * 119.88 - sold["commission"]
    assert sold["pnl"] == pytest.approx(earned - paid, abs=0.02)
    assert sold["pnl_percent"] == pytest.approx(100 * (earned - paid) / paid, abs=0.01)
    assert book.get(f"trades/{sold['id']}/") == sold


def test_a_protective_exit_has_no_decision(monkeypatch, db, quick_passwords, unthrottled):
    book = Book(monkeypatch, [100.0, 80.0, 80.0], stop_loss="0.05", take_profit=None)
    book.play()
    book.order("BUY", 1)
    book.play()
    (sold, _) = book.get("trades/")["results"]
    assert (sold["reason"], sold["decision_id"], sold["requested_price"]) == ("stop_loss", None, 95.09)


def test_trades_come_newest_first_and_can_be_filtered(client, account):
    first = make_trade(account, time=NOON)
    second = make_trade(account, "SELL", 5, time=NOON + hours(1))
    third = make_trade(account, time=NOON + hours(24), symbol="ETHUSDT")
    assert ids(client.get(TRADES)) == [third.pk, second.pk, first.pk]
    for parameters, expected in [
        ({"symbol": "ethusdt "}, [third]),
        ({"symbol": "NOSUCH"}, []),
        ({"symbol_id": first.symbol_id}, [second, first]),
        ({"symbol_id": 2**63 - 1}, []),
        ({"action": "SELL"}, [second]),
        ({"from_date": "2026-03-02T13:00:00Z"}, [third, second]),
        ({"to_date": "2026-03-02"}, [second, first]),
        ({"from_date": "2026-03-02", "to_date": "2026-03-02", "action": "BUY"}, [first]),
        ({"limit": 1, "offset": 1}, [second]),
    ]:
        assert ids(client.get(TRADES, parameters)) == [row.pk for row in expected], parameters


BAD_FILTERS = [("action", "HOLD"), ("action", "buy"), ("symbol_id", "x"), ("symbol_id", "-1"), ("symbol", "a\0")]
BAD_PAGES = [("limit", "-1"), ("limit", "501"), ("offset", "1e3")]


@pytest.mark.parametrize(("name", "value"), [*BAD_FILTERS, *BAD_PAGES, ("from_date", "soon"), ("to_date", "NaN")])
def test_a_bad_filter_is_400(client, name: str, value: str):
    answer = client.get(TRADES, {name: value})
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == [name]


@pytest.mark.parametrize("number", ["0", "9999", "9" * 30, "9" * 400])
def test_an_unknown_trade_is_404(client, number: str):
    assert problem(client.get(f"{TRADES}{number}/")) == (404, "not_found")


def test_trades_are_read_only(client, account):
    trade = make_trade(account)
    for path in (TRADES, f"{TRADES}{trade.pk}/"):
        for method in ("post", "put", "patch", "delete"):
            assert problem(getattr(client, method)(path, {"price": 1})) == (405, "method_not_allowed")


@pytest.mark.parametrize("count", [5, 50])
def test_a_list_costs_the_same_however_long(client, account, count: int, django_assert_num_queries):
    for number in range(count):
        make_trade(account, symbol=["BTCUSDT", "ETHUSDT", "AAPL"][number % 3])
    with django_assert_num_queries(5):  # user, account, count, keys, page
        assert len(ids(client.get(TRADES))) == count
