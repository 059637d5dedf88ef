"""What the account is worth, and the course of its equity."""

import json
import math
from decimal import Decimal

import numpy as np
import pytest

from engine.metrics import metrics
from tests.trading.api.books import NOON, Book, hours, make_position, make_trade
from trading.models import Account, EquityPoint
from trading.selectors import equity

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords", "unthrottled")]
PORTFOLIO = "/api/trading/portfolio/"
CURVE = PORTFOLIO + "equity-curve/"


def make_points(account: Account, values: list[float]) -> None:
    EquityPoint.objects.bulk_create(
        EquityPoint(account=account, time=NOON + hours(row), balance=10000, equity=Decimal(repr(value)))
        for row, value in enumerate(values)
    )


def test_a_new_account_has_its_money_and_nothing_else(client):
    body = client.get(PORTFOLIO).json()
    assert body == {
        "balance": 10000.0,
        "equity": 10000.0,
        "freeCash": 10000.0,
        "usedMargin": 0.0,
        "initialBalance": 10000.0,
        "unrealizedPnL": 0.0,
        "totalTrades": 0,
        "todayPnL": 0.0,
        "totalPnL": 0.0,
        "positions": [],
        "trades": [],
    }


def test_the_portfolio_of_a_small_book(book: Book):
    book.order("BUY", 10)  # 8997.99 left, 1002.01 paid
    book.play()
    book.order("SELL", 4)  # at 109.89: 439.56 less 0.44, against 400.804 paid, rounded to a cent
    book.play()
    body = book.get("portfolio/")
    assert (body["freeCash"], body["usedMargin"]) == (9437.11, 601.21)
    assert body["balance"] == 10038.32
    assert body["equity"] == 10031.11  # 6 at 99 beside the cash
    assert body["unrealizedPnL"] == -7.21
    assert body["totalPnL"] == body["todayPnL"] == 38.32
    assert body["totalTrades"] == len(body["trades"]) == 2
    assert [row["pnl"] for row in body["positions"]] == [body["unrealizedPnL"]]


def test_portfolio_equity_points_and_account_say_the_same(book: Book):
    book.order("BUY", "1.23457")
    book.play(2)  # marked at 99: 122.22243
    body = book.get("portfolio/")
    account, point = Account.objects.get(pk=book.account.pk), EquityPoint.objects.order_by("time").last()
    assert account.equity == point.equity == account.cash + Decimal("122.22")
    assert (body["equity"], body["balance"]) == (float(point.equity), float(point.balance))
    assert [row["pnl"] for row in body["positions"]] == [body["unrealizedPnL"]]


def test_what_is_shown_adds_up_to_the_last_digit(client, account):
    make_position(account, quantity="0.123456789", cost="12.3457", mark=101.37)
    make_position(account, symbol="ETHUSDT", quantity="7.000001", cost="700.1", mark=99.999)
    text = client.get(PORTFOLIO).content
    body = json.loads(text, parse_float=Decimal)
    assert body["balance"] == body["freeCash"] + body["usedMargin"]
    assert body["equity"] == body["balance"] + body["unrealizedPnL"]
    assert body["unrealizedPnL"] == sum(row["pnl"] for row in body["positions"])
    assert max(len(str(body[name]).partition(".")[2]) for name in ("balance", "equity", "unrealizedPnL")) <= 8


def test_today_is_the_day_that_the_market_is_played(client, account):
    make_trade(account, "SELL", 7, time=NOON)
    make_trade(account, "SELL", 5, time=NOON - hours(24))
    assert client.get(PORTFOLIO).json()["todayPnL"] == 7
    make_points(account, [10000.0])
    EquityPoint.objects.update(time=NOON + hours(24))
    assert client.get(PORTFOLIO).json()["todayPnL"] == 0


def test_the_portfolio_costs_the_same_however_much_there_is(client, account, django_assert_max_num_queries):
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT"]
    for number in range(60):
        make_trade(account, symbol=symbols[number % 5])
    for symbol in symbols:
        make_position(account, symbol=symbol)
    with django_assert_max_num_queries(9):
        body = client.get(PORTFOLIO).json()
    assert (len(body["trades"]), body["totalTrades"], len(body["positions"])) == (50, 60, 5)


def test_a_curve_of_nothing_has_no_figures(client):
    assert client.get(CURVE).json() == {
        "initialBalance": 10000.0,
        "currentBalance": 10000.0,
        "maxDrawdown": None,
        "maxDrawdownPercent": None,
        "sharpeRatio": None,
        "data": [],
    }


def test_a_flat_curve_has_no_sharpe_ratio(client, account):
    make_points(account, [10000.0] * 5)
    body = client.get(CURVE).json()
    assert (body["sharpeRatio"], body["maxDrawdown"]) == (None, 0)


def test_the_figures_of_a_curve_are_those_of_the_engine(client, account):
    values = [10000.0, 10100.0, 9999.0, 10250.0, 9225.0, 9400.0]
    make_points(account, values)
    body = client.get(CURVE).json()
    assert (body["maxDrawdown"], body["maxDrawdownPercent"]) == (1025.0, 10.0)
    expected = metrics(np.array(values), np.zeros(6), [], hours(5))
    assert body["sharpeRatio"] == pytest.approx(expected.sharpe, rel=1e-12)
    returns = np.diff(values) / values[:-1]
    assert body["sharpeRatio"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365.25 * 24))
    assert body["data"][1] == {"date": "2026-03-02T13:00:00Z", "day": "2026-03-02", "balance": 10000, "equity": 10100}


def test_the_money_at_the_start_counts_for_the_drawdown(client, account):
    make_points(account, [9000.0, 9500.0])
    assert client.get(CURVE).json()["maxDrawdown"] == 1000
    assert client.get(CURVE, {"from_date": "2026-03-02"}).json()["maxDrawdown"] == 0


def test_a_curve_can_be_cut_by_time(client, account):
    make_points(account, [10000.0 + row for row in range(48)])
    data = client.get(CURVE, {"from_date": "2026-03-03", "to_date": "2026-03-03T02:00:00Z"}).json()["data"]
    assert [row["equity"] for row in data] == [10012.0, 10013.0, 10014.0]


@pytest.mark.parametrize("value", ["x", "NaN", "2026-13-01", "\0"])
@pytest.mark.parametrize("name", ["from_date", "to_date"])
def test_a_bad_date_is_400(client, name: str, value: str):
    assert list(client.get(CURVE, {name: value}).json()["fields"]) == [name]


def test_a_long_curve_is_thinned_and_keeps_its_newest_point(client, account):
    make_points(account, [10000.0 + row % 7 for row in range(1201)])
    data = client.get(CURVE).json()["data"]
    assert len(data) == 401
    assert data[-1]["equity"] == 10000 + 1200 % 7


def test_thinning_hides_no_drawdown(client, account, monkeypatch: pytest.MonkeyPatch):
    values = [10000.0 + row for row in range(60)]
    values[17], values[41] = 12000.0, 6000.0
    make_points(account, values)
    whole = client.get(CURVE).json()
    monkeypatch.setattr(equity, "MOST_POINTS", 8)
    thinned = client.get(CURVE).json()
    assert len(thinned["data"]) == 8
    assert thinned["maxDrawdown"] == whole["maxDrawdown"] == 6000
    assert thinned["maxDrawdownPercent"] == whole["maxDrawdownPercent"] == 50
