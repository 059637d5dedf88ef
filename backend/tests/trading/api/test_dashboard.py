"""The first page of a client."""

import pandas as pd
import pytest

from engine.candles import INTERVALS
from market.services import add_symbol, store_candles
from tests.api import problem
from tests.markets import made_candles, real_candles
from tests.trading.api.books import NOON, Book, make_trade
from trading.books.accounts import follow, start_agents
from trading.models import AgentState, Follow

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords", "unthrottled")]
DASHBOARD = "/api/trading/dashboard/"
CHART = DASHBOARD + "market-chart/"
HEATMAP = DASHBOARD + "market-heatmap/"


def store(symbol: str, closes: list[float], interval: str = "1h", start: str = "2026-03-01"):
    candles = made_candles(closes, 2.0)
    index = pd.date_range(start, periods=len(closes), freq=pd.Timedelta(INTERVALS[interval]), tz="UTC")
    instrument = add_symbol(symbol)
    store_candles(instrument, interval, candles.set_index(index), "made")
    return instrument


def follow_only(account, *symbols: str) -> None:
    Follow.objects.filter(account=account).delete()
    follow(account, [add_symbol(symbol) for symbol in symbols])


def test_the_overview_of_a_new_account(client):
    assert client.get(DASHBOARD + "overview/").json() == {
        "balance": 10000.0,
        "equity": 10000.0,
        "todayPnL": 0.0,
        "todayTradesCount": 0,
        "winRate": None,
        "agentsStatus": {"MARKET_MONITOR": "STOPPED", "DECISION_MAKER": "STOPPED", "EXECUTION": "STOPPED"},
        "activeAgentsCount": 0,
    }


def test_the_overview_counts_trades_of_today_and_agents_that_run(client, account):
    make_trade(account, "SELL", 5)
    make_trade(account, "SELL", -2)
    make_trade(account, "SELL", 1, time=NOON.replace(day=1))
    start_agents(account)
    AgentState.objects.filter(agent_type="EXECUTION").update(status="ERROR")
    body = client.get(DASHBOARD + "overview/").json()
    assert (body["todayPnL"], body["todayTradesCount"], body["winRate"]) == (3, 2, 66.67)
    assert (body["activeAgentsCount"], body["agentsStatus"]["EXECUTION"]) == (2, "ERROR")


def test_a_chart_shows_candles_and_ones_own_trades(book: Book):
    book.order("BUY", 10)
    book.play()
    body = book.get("dashboard/market-chart/", symbol="btcusdt", timeframe="1h", limit=2)
    assert (body["symbol"], body["currentPrice"]) == ("BTCUSDT", 110)
    assert body["data"][-1] == {
        "timestamp": "2024-01-03T12:00:00Z",
        "open": 100,
        "high": 110,
        "low": 100,
        "close": 110,
        "price": 110,
        "volume": 1,
    }
    assert len(body["data"]) == 2
    assert [trade["action"] for trade in body["trades"]] == ["BUY"]


def test_trades_before_the_chart_are_left_out(book: Book):
    book.order("BUY", 10)
    book.play(3)
    assert book.get("dashboard/market-chart/", symbol="BTCUSDT", limit=2)["trades"] == []


def test_a_longer_timeframe_is_put_together_from_shorter_candles(client):
    store("BTCUSDT", [float(number) for number in range(100, 150)], start="2026-03-01T01:00")
    body = client.get(CHART, {"symbol": "BTCUSDT", "timeframe": "4h", "limit": 3}).json()
    assert [row["timestamp"] for row in body["data"]] == [
        "2026-03-02T16:00:00Z",
        "2026-03-02T20:00:00Z",
        "2026-03-03T00:00:00Z",
    ]
    first, last = body["data"][0], body["data"][-1]
    assert {name: first[name] for name in ("open", "high", "low", "close", "volume")} == {
        "open": 138,
        "high": 142,
        "low": 138,
        "close": 142,
        "volume": 8,
    }
    assert (last["close"], last["volume"]) == (149, 6)


def test_merged_candles_are_those_of_the_exchange(client, account, real_data):
    quarters = real_candles(real_data, "BTCUSDT_15m").iloc[:2000]
    follow_only(account, "BTCUSDT")
    store_candles(add_symbol("BTCUSDT"), "15m", quarters, "made")
    merged = client.get(CHART, {"symbol": "BTCUSDT", "timeframe": "1d", "limit": 10}).json()["data"]
    days = real_candles(real_data, "BTCUSDT_1d")
    whole = [row for row in merged[:-1] if pd.Timestamp(row["timestamp"]) in days.index]
    assert len(whole) >= 5
    for row in whole:
        expected = days.loc[pd.Timestamp(row["timestamp"])]
        assert [row[name] for name in ("open", "high", "low", "close")] == expected[
            ["open", "high", "low", "close"]
        ].to_list()
        assert row["volume"] == pytest.approx(expected["volume"], rel=1e-6)


def test_a_chart_without_candles_is_empty(client):
    body = client.get(CHART, {"symbol": "BTCUSDT", "timeframe": "15m"}).json()
    assert (body["currentPrice"], body["data"], body["trades"]) == (None, [], [])


def test_a_chart_is_of_the_accounts_own_interval_unless_it_is_said_otherwise(client, account):
    account.settings.interval = "1d"
    account.settings.save()
    store("BTCUSDT", [100.0, 101.0], "1d")
    body = client.get(CHART, {"symbol": "BTCUSDT"}).json()
    assert (body["timeframe"], len(body["data"])) == ("1d", 2)
    body = client.get(CHART, {"symbol": "BTCUSDT", "timeframe": "15m"}).json()
    assert (body["currentPrice"], body["data"]) == (101.0, [])


BAD_LIMITS = [("limit", value) for value in ("0", "1001", "-1", "1.5", "NaN", "9" * 30)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("timeframe", "2h"), ("timeframe", "\0"), ("symbol", "A" * 50), ("symbol", "a\0"), *BAD_LIMITS],
)
def test_a_bad_chart_is_400(client, name: str, value: str):
    assert problem(client.get(CHART, {"symbol": "BTCUSDT", name: value})) == (400, "invalid")


def test_a_chart_of_what_is_not_followed_is_404(client):
    store("EURUSD", [1.1, 1.2])
    assert problem(client.get(CHART, {"symbol": "EURUSD"})) == (404, "not_found")


def test_the_heatmap_compares_with_a_day_before(client, account):
    follow_only(account, "BTCUSDT", "ETHUSDT", "SOLUSDT")
    store("BTCUSDT", [100.0 + row for row in range(30)])
    store("ETHUSDT", [50.0, 51.0])
    rows = client.get(HEATMAP).json()
    assert rows == [
        {
            "symbol": "BTCUSDT",
            "price": 129.0,
            "previousPrice": 105.0,
            "change": 24.0,
            "changePercent": 22.8571,
            "volume": 48.0,
            "timestamp": "2026-03-02T06:00:00Z",
        },
        {
            "symbol": "ETHUSDT",
            "price": 51.0,
            "previousPrice": None,
            "change": None,
            "changePercent": None,
            "volume": 4.0,
            "timestamp": "2026-03-01T02:00:00Z",
        },
        {
            "symbol": "SOLUSDT",
            "price": None,
            "previousPrice": None,
            "change": None,
            "changePercent": None,
            "volume": None,
            "timestamp": None,
        },
    ]


def test_the_heatmap_of_a_market_that_sleeps_compares_with_its_last_close(client, account):
    follow_only(account, "AAPL")
    friday = store("AAPL", [100.0], start="2026-02-27T20:00")
    store("AAPL", [100.0, 110.0], start="2026-03-02T14:00")
    assert friday.symbol == "AAPL"
    (row,) = client.get(HEATMAP).json()
    assert (row["previousPrice"], row["change"], row["changePercent"]) == (100, 10, 10)


@pytest.mark.parametrize("count", [5, 50])
def test_the_heatmap_costs_the_same_however_long(client, account, count: int, django_assert_num_queries):
    follow_only(account, *[f"A{number}USDT" for number in range(count)])
    with django_assert_num_queries(3):  # user, account, tiles
        assert len(client.get(HEATMAP).json()) == count
