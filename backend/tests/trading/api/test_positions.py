"""Positions: what is held, what was held, and closing one by hand."""

import pytest

from tests.api import api_client, make_user, problem
from tests.trading.api.books import NOON, Book, hours, make_position
from tests.trading.api.markets import NONSENSE
from trading.books.audit import differences
from trading.models import Account, Order, Position, Trade, TradingSettings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords", "unthrottled")]
POSITIONS = "/api/trading/positions/"
KEYS = {
    *("id", "symbol", "quantity", "entryPrice", "currentPrice", "pnl", "pnlPercent", "stopLoss", "takeProfit"),
    *("openedAt", "closedAt", "is_open"),
}


def close(book: Book, position: object):
    return book.client.post(f"{POSITIONS}close/", {"position_id": position})


def ids(answer) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_an_open_position_is_valued_at_the_last_close(book: Book):
    book.order("BUY", 10)
    book.play()
    (row,) = book.get("positions/")["results"]
    assert set(row) >= KEYS
    assert (row["quantity"], row["entryPrice"], row["currentPrice"]) == (10, 100.1, 110)
    # 1100.00 now, against 1001.00 and 1.01 commission.
    assert (row["pnl"], row["pnlPercent"]) == (97.99, 9.78)
    assert (row["is_open"], row["closedAt"], row["openedAt"]) == (True, None, "2024-01-03T12:00:00Z")
    assert book.get(f"positions/{row['id']}/") == row


def test_levels_are_shown(monkeypatch, db, quick_passwords, unthrottled):
    book = Book(monkeypatch, [100.0, 100.0], stop_loss="0.05", take_profit="0.1")
    row = book.order("BUY", 1).json()["position"]
    assert (row["stopLoss"], row["takeProfit"]) == (95.09, 110.11)


def test_a_closed_position_shows_what_it_earned(book: Book):
    book.order("BUY", 10)
    book.play()
    book.order("SELL", 4)
    book.order("SELL", 6)
    (row,) = book.get("positions/", is_open="false")["results"]
    profits = sum(Trade.objects.filter(action="SELL").values_list("pnl", flat=True))
    assert (row["quantity"], row["is_open"], row["closedAt"]) == (0, False, "2024-01-03T13:00:00Z")
    assert row["pnl"] == float(profits)
    assert row["pnlPercent"] == pytest.approx(100 * float(profits) / 1002.01, abs=0.005)


def test_positions_come_newest_first_and_can_be_filtered(client, account):
    closed = make_position(account, closed_at=NOON + hours(1))
    open_ = make_position(account, symbol="ETHUSDT", time=NOON + hours(2))
    assert ids(client.get(POSITIONS)) == [open_.pk, closed.pk]
    assert ids(client.get(POSITIONS, {"is_open": "true"})) == [open_.pk]
    assert ids(client.get(POSITIONS, {"is_open": "false"})) == [closed.pk]
    assert ids(client.get(POSITIONS, {"symbol": "BTCUSDT"})) == [closed.pk]
    assert list(client.get(POSITIONS, {"is_open": "maybe"}).json()["fields"]) == ["is_open"]


def test_closing_sells_all_of_it(book: Book):
    position = book.order("BUY", 10).json()["position"]["id"]
    book.play()
    answer = close(book, position)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["status"], body["message"]) == ("closed", "Sold 10 BTCUSDT at 109.89.")
    assert body["pnl"] == body["trade"]["pnl"] == 95.79
    assert (body["trade"]["reason"], body["trade"]["order_id"]) == ("manual", f"exit-{position}")
    assert body["account"]["balance"] == body["account"]["equity"] == 10095.79
    assert list(differences(Account.objects.all())) == []


def test_closing_takes_the_last_digit_too(book: Book):
    book.order("BUY", "1.23457")
    position = book.order("BUY", "0.12345").json()["position"]["id"]
    assert close(book, position).json()["trade"]["quantity"] == 1.35802
    assert Position.objects.get().closed_at is not None


def test_nothing_holds_up_an_exit(book: Book):
    position = book.order("BUY", 10).json()["position"]["id"]
    TradingSettings.objects.filter(account=book.account).update(kill_switch=True, max_quote_age_seconds=0)
    assert close(book, position).status_code == 200


def test_a_closed_position_is_409(book: Book):
    position = book.order("BUY", 10).json()["position"]["id"]
    close(book, position)
    assert problem(close(book, position)) == (409, "position_closed")
    assert Order.objects.count() == 2


def test_a_newer_position_in_the_symbol_stays(book: Book):
    old = book.order("BUY", 10).json()["position"]["id"]
    close(book, old)
    book.order("BUY", 1)
    assert problem(close(book, old)) == (409, "position_closed")
    assert Position.objects.filter(closed_at=None).count() == 1


def test_without_a_price_nothing_happens(book: Book):
    position = book.order("BUY", 10).json()["position"]["id"]
    book.play(5)
    assert problem(close(book, position)) == (503, "no_price")
    assert Trade.objects.count() == 1


def test_somebody_elses_position_is_404(book: Book):
    position = book.order("BUY", 10).json()["position"]["id"]
    stranger = api_client(make_user("bob@example.com"))
    assert problem(stranger.post(f"{POSITIONS}close/", {"position_id": position})) == (404, "not_found")
    assert Trade.objects.count() == 1


@pytest.mark.parametrize("value", NONSENSE)
def test_a_bad_id_is_400(book: Book, value: object):
    assert problem(close(book, value)) == (400, "invalid")


@pytest.mark.parametrize("body", [None, [], "x", 5, {}])
def test_a_bad_body_is_400(client, body: object):
    assert problem(client.post(f"{POSITIONS}close/", body))[0] == 400


@pytest.mark.parametrize("count", [5, 50])
def test_a_list_costs_the_same_however_long(client, account, count: int, django_assert_num_queries):
    for number in range(count):
        make_position(account, time=NOON + hours(number), closed_at=NOON + hours(number + 1))
    with django_assert_num_queries(5):  # user, account, count, keys, page
        assert len(ids(client.get(POSITIONS))) == count
