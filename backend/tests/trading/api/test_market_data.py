from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from engine.indicators import INDICATORS
from engine.snapshot import market_frame
from market.models import Candle, Symbol
from market.selectors import latest_candles
from market.services import add_symbol, store_candles
from market.sources.replay import ReplaySource
from tests.api import api_client, problem
from tests.markets import made_candles, random_candles
from tests.trading.api.markets import API, NONSENSE, account_of, body, results
from trading.live.refresh import complete_requests
from trading.models import Follow, RefreshRequest
from trading.runtime.loop import Runner
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import Market, watched_markets

DATA = API + "market-data/"
KEYS = {
    "id", "symbol", "symbol_id", "symbol_name", "interval", "price", "volume", "high", "low", "open_price", "change",
    "change_percent", "open_time", "timestamp", "source", "age_seconds",
}  # fmt: skip


@pytest.fixture
def bitcoin(user) -> Symbol:
    """Three hours from 2024-01-01 on, and one day."""
    symbol = Symbol.objects.get(symbol="BTCUSDT")
    store_candles(symbol, "1h", made_candles([100.0, 110.0, 99.0]), "csv")
    store_candles(symbol, "1d", made_candles([100.0]), "csv")
    return symbol


def prices(answer) -> list[float]:
    return [row["price"] for row in results(answer)]


@time_machine.travel(datetime(2024, 1, 1, 4, tzinfo=UTC), tick=False)
def test_a_row_is_a_stored_candle(user, bitcoin):
    client = api_client(user)  # its token is of the time that the clock shows
    newest, middle, first = results(client.get(DATA))
    assert set(newest) == KEYS
    assert newest == {
        "id": Candle.objects.get(close=99.0).pk,
        "symbol": "BTCUSDT",
        "symbol_id": bitcoin.pk,
        "symbol_name": "Bitcoin",
        "interval": "1h",
        "price": 99.0,
        "volume": 1.0,
        "high": 110.0,
        "low": 99.0,
        "open_price": 110.0,
        "change": -11.0,
        "change_percent": -10.0,
        "open_time": "2024-01-01T02:00:00Z",
        "timestamp": "2024-01-01T03:00:00Z",
        "source": "csv",
        "age_seconds": 3600.0,
    }
    assert (middle["change"], middle["change_percent"]) == (10.0, 10.0)
    assert (first["change"], first["change_percent"]) == (None, None)
    assert body(client.get(f"{DATA}{newest['id']}/")) == newest


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("symbol=btcusdt", [99.0, 110.0, 100.0]),
        ("symbol=ETHUSDT", []),
        ("symbol=NOSUCH", []),
        ("interval=1d", [100.0]),
        ("interval=5m", []),
        ("hours=1", [99.0]),
        ("hours=1.5", [99.0, 110.0]),
        ("hours=0", []),
        ("hours=1&to_date=2024-01-01T01:00:00Z", [110.0]),
        ("from_date=2024-01-01T01:00:00Z", [99.0, 110.0]),
        ("to_date=2024-01-01T00:00:00Z", [100.0]),
        ("to_date=2024-01-01", [99.0, 110.0, 100.0]),
        ("from_date=2024-01-02", []),
        ("limit=1&offset=1", [110.0]),
    ],
)
def test_rows_can_be_filtered(client, bitcoin, query, expected):
    assert prices(client.get(f"{DATA}?{query}")) == expected


def test_rows_of_a_symbol_by_its_id(client, bitcoin):
    assert len(prices(client.get(f"{DATA}?symbol_id={bitcoin.pk}"))) == 3
    assert prices(client.get(f"{DATA}?symbol_id={2**63 - 1}")) == []


@pytest.mark.parametrize("key", ["symbol_id", "interval", "hours", "from_date", "to_date", "limit", "offset"])
def test_bad_parameters_are_400(client, bitcoin, key):
    paths = [""] if key in ("symbol_id", "hours", "offset") else ["", "candles/"]
    for value in ["x", "NaN", "-1", "1e999", "%00", "9" * 30, "Infinity"]:
        for path in paths:
            assert problem(client.get(f"{DATA}{path}?{key}={value}")) == (400, "invalid")


@pytest.mark.parametrize("pk", ["999999", str(2**63 - 1), "9" * 30])
def test_an_unknown_row_is_404(client, pk):
    assert problem(client.get(f"{DATA}{pk}/")) == (404, "not_found")


def test_what_is_not_followed_is_not_shown(client, bitcoin):
    row = results(client.get(DATA))[0]["id"]
    Follow.objects.filter(symbol=bitcoin).delete()
    assert problem(client.get(f"{DATA}{row}/")) == (404, "not_found")
    assert results(client.get(DATA)) == []


@pytest.mark.parametrize("rows", [5, 50])
def test_a_list_costs_the_same_however_long(client, user, rows, django_assert_num_queries):
    store_candles(Symbol.objects.get(symbol="AAPL"), "1h", random_candles(rows), "csv")
    with django_assert_num_queries(7):
        assert len(results(client.get(DATA))) == rows


def test_latest_has_the_newest_of_each_and_names_what_is_missing(client, bitcoin):
    answer = body(client.get(DATA + "latest/"))
    assert [(row["symbol"], row["price"]) for row in answer["data"]] == [("BTCUSDT", 99.0)]
    assert len(answer["errors"]) == 14
    assert "AAPL: no candles at 1h are stored yet" in answer["errors"]
    assert body(client.get(DATA + "latest/?interval=1d"))["data"][0]["price"] == 100.0
    assert problem(client.get(DATA + "latest/?interval=7h")) == (400, "invalid")


def test_latest_costs_the_same_however_many_there_are(client, user, django_assert_num_queries):
    for name in ("BTCUSDT", "ETHUSDT", "AAPL"):
        store_candles(Symbol.objects.get(symbol=name), "1h", random_candles(3), "csv")
        with django_assert_num_queries(5):
            client.get(DATA + "latest/")


def test_a_chart_is_oldest_first(client, bitcoin):
    chart = body(client.get(DATA + "candles/?symbol=btcusdt"))
    assert (chart["symbol"], chart["interval"]) == ("BTCUSDT", "1h")
    assert [point["close"] for point in chart["data"]] == [100.0, 110.0, 99.0]
    assert set(chart["data"][0]) == {"timestamp", "open", "high", "low", "close", "volume"}
    assert chart["data"][0]["timestamp"] == "2024-01-01T00:00:00Z"
    late = body(client.get(DATA + "candles/?from_date=2024-01-01T01:00:00Z&limit=1&indicators=1"))["data"]
    assert [point["close"] for point in late] == [99.0]
    early = body(client.get(DATA + "candles/?to_date=2024-01-01T01:00:00Z"))["data"]
    assert [point["close"] for point in early] == [100.0, 110.0]


def test_a_chart_without_candles_is_empty(client):
    assert body(client.get(DATA + "candles/?symbol=AAPL&indicators=1"))["data"] == []
    assert problem(client.get(DATA + "candles/?symbol=NOSUCH")) == (404, "not_found")


def test_indicators_of_a_chart_are_those_of_the_agents(client, user):
    symbol = Symbol.objects.get(symbol="AAPL")
    store_candles(symbol, "1h", random_candles(60), "csv")
    points = body(client.get(DATA + "candles/?symbol=AAPL&indicators=1&limit=40"))["data"]
    frame = market_frame(latest_candles(symbol, "1h", 60))
    assert len(points) == 40
    assert list(points[-1]["indicators"]) == list(INDICATORS)
    assert points[-1]["indicators"]["rsi14"] == frame["rsi14"].iloc[-1]
    assert points[0]["indicators"]["sma50"] is None
    assert points[-1]["indicators"]["sma50"] is not None
    assert points[-1]["analysis"]["trend"] in {"bull", "bear", "sideways"}


def test_a_refresh_is_asked_for_and_done_by_the_loop(client, user, played):
    asked = body(client.post(DATA + "refresh/", {"symbol_ids": [played.symbol.pk]}), 202)
    assert set(asked) == {"task_id", "symbols"}
    assert asked["symbols"] == ["BTCUSDT"]
    task = f"{DATA}refresh/{asked['task_id']}/"
    assert body(client.get(task))["status"] == "pending"
    assert watched_markets() == [played.market]
    assert not Candle.objects.exists()
    Runner(0.0, played.pipeline).cycle()
    assert body(client.get(task))["status"] == "done"
    assert body(client.get(task))["finished_at"]
    assert Candle.objects.exists()
    assert watched_markets() == []


def test_a_refresh_of_a_market_without_source_is_done_too(client, played):
    body(client.post(DATA + "refresh/"), 202)
    Runner(0.0, Pipeline(sources=ReplaySource.of_file)).cycle()
    assert not RefreshRequest.objects.filter(looked_at=None).exists()


def test_what_was_done_long_ago_is_forgotten(client, played):
    asked = [body(client.post(DATA + "refresh/"), 202)["task_id"] for _ in range(3)]
    RefreshRequest.objects.filter(task_id=asked[0]).update(looked_at=timezone.now() - timedelta(days=2))
    RefreshRequest.objects.filter(task_id=asked[1]).update(looked_at=timezone.now())
    body(client.post(DATA + "refresh/"), 202)
    assert [client.get(f"{DATA}refresh/{task}/").status_code for task in asked] == [404, 200, 200]


def test_a_request_during_a_look_waits_for_the_next(user):
    symbol = add_symbol("AAPL")
    request = RefreshRequest.objects.create(
        task_id="00000000-0000-0000-0000-000000000001", account=account_of(user), symbol=symbol, interval="1h"
    )
    complete_requests([Market(symbol, "1h")], since=request.requested_at - timedelta(seconds=1))
    assert RefreshRequest.objects.filter(looked_at=None).count() == 1


def test_a_bad_refresh_is_400(client):
    for value in [*NONSENSE, ["x"], [True], [0], [None], [1] * 501]:
        assert problem(client.post(DATA + "refresh/", {"symbol_ids": value}))[0] == 400, value


def test_a_refresh_of_what_is_not_followed_is_404(client, stranger):
    other = body(stranger.post(API + "symbols/", {"symbol": "EURUSD"}), 201)
    assert problem(client.post(DATA + "refresh/", {"symbol_ids": [other["id"]]})) == (404, "not_found")
    asked = body(stranger.post(DATA + "refresh/"), 202)
    for task in (asked["task_id"], "x", "%00"):
        assert problem(client.get(f"{DATA}refresh/{task}/")) == (404, "not_found")


def test_without_symbols_there_is_nothing_to_refresh(client):
    Follow.objects.all().delete()
    assert problem(client.post(DATA + "refresh/")) == (409, "nothing_followed")
