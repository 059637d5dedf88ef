"""Figures of closed trades and of the equity, against books whose figures are known."""

import numpy as np
import pytest

from engine.metrics import metrics
from tests.trading.api.books import NOON, Book, hours, make_trade
from trading.models import EquityPoint, Trade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords", "unthrottled")]
ANALYTICS = "/api/trading/analytics/"
UNDEFINED = {
    *("sharpeRatio", "sortinoRatio", "winRate", "profitFactor", "maxDrawdown", "maxDrawdownPercent"),
    *("avgWin", "avgLoss", "winLossRatio", "exposurePercent"),
}
DEFINED = {"totalReturn", "returnPercent", "totalTrades", "winningTrades", "losingTrades", "totalCommission"}


def test_what_cannot_be_computed_is_null(client):
    body = client.get(ANALYTICS + "performance-metrics/").json()
    assert set(body) == UNDEFINED | DEFINED
    assert {name for name, value in body.items() if value is None} == UNDEFINED
    assert {body[name] for name in DEFINED} == {0}


def test_figures_of_trades(client, account):
    for pnl in (30, -10, 0, 10, -10):
        make_trade(account, "SELL", pnl)
    make_trade(account)
    body = client.get(ANALYTICS + "performance-metrics/").json()
    assert (body["totalTrades"], body["winningTrades"], body["losingTrades"]) == (5, 2, 2)
    assert (body["avgWin"], body["avgLoss"], body["winLossRatio"]) == (20, 10, 2)
    assert (body["winRate"], body["profitFactor"]) == (40, 2)
    assert body["totalCommission"] == 0.6


def test_a_factor_without_losses_is_null(client, account):
    make_trade(account, "SELL", 30)
    body = client.get(ANALYTICS + "performance-metrics/").json()
    assert (body["winRate"], body["profitFactor"], body["avgLoss"], body["winLossRatio"]) == (100, None, None, None)


def test_the_figures_are_those_of_the_engine(monkeypatch, db, quick_passwords, unthrottled):
    closes = [110.0, 111.0, 105.0, 108.0, 101.0, 99.0, 104.0, 107.0]
    book = Book(monkeypatch, closes, "B.S..B.S", stop_loss=None, take_profit=None)
    book.play(8)
    points = EquityPoint.objects.filter(account=book.account).order_by("time")
    equity = np.array(points.values_list("equity", flat=True), dtype=float)
    profits = list(Trade.objects.filter(action="SELL").values_list("pnl", flat=True))
    # Bought at the open after the signal and held over two closes, and so again.
    exposed = np.array([0, 1, 1, 0, 0, 0, 1, 1])
    expected = metrics(equity, exposed, profits, hours(7))
    body = book.get("analytics/performance-metrics/")
    assert body["sharpeRatio"] == pytest.approx(expected.sharpe, rel=1e-12)
    assert body["sortinoRatio"] == pytest.approx(expected.sortino, rel=1e-12)
    assert body["exposurePercent"] == expected.exposure_percent == 50
    assert body["maxDrawdown"] == pytest.approx(expected.max_drawdown, abs=0.005)
    assert body["winRate"] == expected.win_rate_percent
    assert body["profitFactor"] == expected.profit_factor
    assert body["totalReturn"] == pytest.approx(equity[-1] - 10000)
    assert body["returnPercent"] == pytest.approx(expected.return_percent, abs=0.005)


def test_the_curve_adds_up_day_by_day(client, account):
    for day, pnl in [(0, 5), (0, -2), (3, 4)]:
        make_trade(account, "SELL", pnl, time=NOON + hours(24 * day))
    make_trade(account, time=NOON + hours(24))
    body = client.get(ANALYTICS + "pnl-curve/").json()
    assert body["data"] == [
        {"date": "2026-03-02", "pnl": 3, "dayPnL": 3},
        {"date": "2026-03-05", "pnl": 7, "dayPnL": 4},
    ]


def test_all_profits_agree(book: Book):
    book.order("BUY", 10)
    book.play()
    book.order("SELL", 3)
    book.play()
    book.order("SELL", 2)
    curve, months = book.get("analytics/pnl-curve/"), book.get("analytics/monthly-breakdown/")
    total = book.get("portfolio/")["totalPnL"]
    assert total != 0
    assert curve["totalPnL"] == curve["data"][-1]["pnl"] == months["monthly"][0]["pnl"] == months["today"] == total
    assert curve["currentBalance"] == pytest.approx(curve["initialBalance"] + total)


def test_the_breakdown_is_by_days_of_the_market(client, account):
    """Its newest moment is noon of Monday, 2 March 2026."""
    sales = {"2026-03-02": 1, "2026-03-01": 2, "2026-02-28": 4, "2026-02-01": 8, "2026-01-31": 16, "2025-03-02": 32}
    for day, pnl in sales.items():
        make_trade(account, "SELL", pnl, time=NOON.fromisoformat(f"{day}T00:00:00+00:00"))
    make_trade(account, time=NOON)
    body = client.get(ANALYTICS + "monthly-breakdown/").json()
    assert {name: value for name, value in body.items() if name != "monthly"} == {
        "today": 1,
        "yesterday": 2,
        "thisWeek": 1,
        "thisMonth": 3,
        "lastMonth": 12,
    }
    assert body["monthly"] == [
        {"month": "2025-03", "pnl": 32, "trades": 1},
        {"month": "2026-01", "pnl": 16, "trades": 1},
        {"month": "2026-02", "pnl": 12, "trades": 2},
        {"month": "2026-03", "pnl": 3, "trades": 3},
    ]


def test_the_month_before_january_is_december(client, account):
    for day, pnl in [("2026-01-15", 1), ("2025-12-31", 2), ("2025-12-01", 4), ("2025-11-30", 8)]:
        make_trade(account, "SELL", pnl, time=NOON.fromisoformat(f"{day}T12:00:00+00:00"))
    assert client.get(ANALYTICS + "monthly-breakdown/").json()["lastMonth"] == 6


@pytest.mark.parametrize("path", ["performance-metrics/", "pnl-curve/", "monthly-breakdown/"])
@pytest.mark.parametrize("count", [5, 50])
def test_it_costs_the_same_however_much_there_is(client, account, path: str, count: int, django_assert_max_num_queries):
    for number in range(count):
        make_trade(account, "SELL", number, time=NOON + hours(number * 40))
        EquityPoint.objects.create(account=account, time=NOON + hours(number), balance=1, equity=1 + number)
    with django_assert_max_num_queries(8):
        assert client.get(ANALYTICS + path).status_code == 200


def test_sums_keep_every_place_where_the_database_adds_in_floats(client, account):
    for _ in range(48):
        make_trade(account, "SELL", "0.02")
    breakdown = client.get(ANALYTICS + "monthly-breakdown/").json()
    assert [month["pnl"] for month in breakdown["monthly"]] == [0.96]
    assert client.get(ANALYTICS + "pnl-curve/").json()["data"][-1]["pnl"] == 0.96
