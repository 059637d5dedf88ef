from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from django.contrib.admin import site
from django.db import IntegrityError, connection
from django.db.models import ProtectedError
from django.test.utils import CaptureQueriesContext

from engine.candles import COLUMNS, CandleError, validate
from market import services
from market.models import Candle, Symbol
from market.selectors import candle_frame, latest_candles
from market.services import add_symbol, store_candles

pytestmark = pytest.mark.django_db

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def candles(count: int, first: datetime = START, price: float = 0.1) -> pd.DataFrame:
    index = pd.date_range(first, periods=count, freq="h", name="open_time", unit="us")
    close = price + np.arange(count) / 3
    columns = {"open": close, "high": close * 1.1, "low": close * 0.9, "close": close, "volume": close * 1e13}
    return pd.DataFrame(columns, index=index)


@pytest.fixture
def btc() -> Symbol:
    return add_symbol("BTCUSDT")


def test_what_was_stored_comes_back_bit_by_bit(btc: Symbol):
    frame = candles(100)
    assert store_candles(btc, "1h", frame, "csv") == 100
    pd.testing.assert_frame_equal(candle_frame(btc, "1h"), frame, check_exact=True, check_freq=False)
    validate(candle_frame(btc, "1h"), "1h")


def test_storing_twice_stores_once(btc: Symbol):
    assert store_candles(btc, "1h", candles(10), "csv") == 10
    assert store_candles(btc, "1h", candles(12), "csv") == 2
    assert store_candles(btc, "1h", candles(12), "csv") == 0
    assert Candle.objects.count() == 12


def test_a_candle_stays_as_it_was_first_seen(btc: Symbol):
    store_candles(btc, "1h", candles(3), "bybit")
    before = list(Candle.objects.order_by("id").values())
    assert store_candles(btc, "1h", candles(4, price=7.0), "yahoo") == 1
    assert list(Candle.objects.order_by("id").values())[:3] == before
    assert candle_frame(btc, "1h")["close"].tolist()[:3] == candles(3)["close"].tolist()


def test_each_candle_is_of_the_source_that_told_it_first(btc: Symbol):
    store_candles(btc, "1h", candles(1), "bybit")
    assert store_candles(btc, "1h", candles(2, price=7.0), "yahoo") == 1
    assert list(Candle.objects.order_by("open_time").values_list("source", flat=True)) == ["bybit", "yahoo"]


def test_a_series_is_a_symbol_and_an_interval(btc: Symbol):
    eth = add_symbol("ETHUSDT")
    store_candles(btc, "1h", candles(3), "csv")
    store_candles(btc, "1d", candles(1), "csv")
    store_candles(eth, "1h", candles(2), "csv")
    assert [len(candle_frame(*series)) for series in ((btc, "1h"), (btc, "1d"), (eth, "1h"))] == [3, 1, 2]


def test_many_candles_are_stored_in_parts(btc: Symbol, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(services, "ROWS_AT_ONCE", 7)
    assert store_candles(btc, "1h", candles(50), "csv") == 50
    assert candle_frame(btc, "1h").index.equals(candles(50).index)


def test_two_candles_around_a_weekend_can_be_stored(btc: Symbol):
    assert store_candles(btc, "1h", candles(60).iloc[[0, 59]], "yahoo") == 2


@pytest.mark.parametrize(
    ("interval", "frame"),
    [
        ("7h", candles(2)),
        ("1h", candles(0)),
        ("1h", candles(3).iloc[::-1]),
        ("1h", -candles(2)),
        ("1h", candles(2) * np.nan),
    ],
)
def test_unsound_candles_are_refused(btc: Symbol, interval: str, frame: pd.DataFrame):
    with pytest.raises(CandleError):
        store_candles(btc, interval, frame, "csv")
    assert not Candle.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 0.0},
        {"low": -1.0},
        {"high": 0.5},
        {"open": 3.0},
        {"close": 0.1},
        {"volume": -1.0},
        {"high": float("inf")},
        {"volume": float("inf")},
        {"low": float("nan")},
        {"high": float("nan")},
        {"open": float("nan")},
        {"volume": float("nan")},
    ],
    ids=str,
)
def test_the_database_refuses_an_impossible_candle(btc: Symbol, wrong: dict[str, float]):
    values = {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 0.0, **wrong}
    with pytest.raises(IntegrityError):
        Candle.objects.create(symbol=btc, interval="1h", open_time=START, source="test", **values)


def test_the_database_refuses_a_second_candle_of_one_time(btc: Symbol):
    store_candles(btc, "1h", candles(1), "csv")
    twin = Candle.objects.get()
    twin.pk = None
    with pytest.raises(IntegrityError):
        twin.save(force_insert=True)


def test_a_symbol_with_candles_cannot_be_deleted(btc: Symbol):
    store_candles(btc, "1h", candles(1), "csv")
    with pytest.raises(ProtectedError):
        btc.delete()


def test_a_frame_starts_inclusive_and_ends_exclusive(btc: Symbol):
    store_candles(btc, "1h", candles(10), "csv")
    frame = candle_frame(btc, "1h", START + 2 * HOUR, START + 5 * HOUR)
    assert frame.index.equals(candles(10).index[2:5])


def test_the_latest_candles_come_oldest_first(btc: Symbol):
    store_candles(btc, "1h", candles(10), "csv")
    assert latest_candles(btc, "1h", 3).index.equals(candles(10).index[-3:])
    assert latest_candles(btc, "1h", 3, end=START + 5 * HOUR).index.equals(candles(10).index[2:5])
    assert latest_candles(btc, "1h", 99).index.equals(candles(10).index)


def test_no_candles_are_an_empty_frame_of_the_same_form(btc: Symbol):
    store_candles(btc, "1d", candles(1), "csv")
    filled = candle_frame(btc, "1d")
    for empty in (candle_frame(btc, "1h"), latest_candles(btc, "1h", 5)):
        assert len(empty) == 0
        assert empty.dtypes.equals(filled.dtypes)
        assert (empty.index.dtype, empty.index.name) == (filled.index.dtype, filled.index.name)
        assert tuple(empty.columns) == COLUMNS


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL scans a table this small")
def test_the_latest_candles_are_read_in_the_order_of_the_index(btc: Symbol):
    store_candles(btc, "1h", candles(50), "csv")
    with CaptureQueriesContext(connection) as queries:
        latest_candles(btc, "1h", 5)
    assert len(queries) == 1
    plan = Candle.objects.filter(symbol=btc, interval="1h").order_by("-open_time")[:5].explain()
    assert "SEARCH market_candle USING INDEX" in plan
    assert "TEMP B-TREE" not in plan


def test_the_admin_shows_candles_and_changes_none(btc: Symbol, admin_client):
    store_candles(btc, "1h", candles(1), "csv")
    listing = admin_client.get("/admin/market/candle/")
    assert b"BTCUSDT" in listing.content
    candle = Candle.objects.get()
    assert admin_client.get(f"/admin/market/candle/{candle.pk}/change/").status_code == 200
    assert admin_client.post(f"/admin/market/candle/{candle.pk}/change/", {"open": 1}).status_code == 403
    assert admin_client.get("/admin/market/candle/add/").status_code == 403
    assert admin_client.post(f"/admin/market/candle/{candle.pk}/delete/", {"post": "yes"}).status_code == 403
    assert not site.get_model_admin(Candle).has_add_permission(listing.wsgi_request)


def test_the_admin_keeps_the_name_of_a_symbol(btc: Symbol, admin_client):
    page = f"/admin/market/symbol/{btc.pk}/change/"
    assert admin_client.get(page).status_code == 200
    admin_client.post(
        page, {"symbol": "ETHUSDT", "name": "Bitcoin", "kind": "crypto", "is_active": "on", "depth_levels": 0}
    )
    btc.refresh_from_db()
    assert (btc.symbol, btc.name) == ("BTCUSDT", "Bitcoin")
