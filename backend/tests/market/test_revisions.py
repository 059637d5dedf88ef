"""A provider that changes its history: nothing is rewritten, and everybody can see it."""

from datetime import UTC, datetime, timedelta

import pytest

from market.ingestion.candles import ingest
from market.models import Candle, CandleRevision, Symbol
from market.selectors import candle_frame
from market.services import add_symbol, store_candles
from tests.market.known_source import KnownSource
from tests.markets import random_candles

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TRUTH = random_candles(60)
SOURCE = KnownSource(TRUTH)


@pytest.fixture
def btc(db) -> Symbol:
    symbol = add_symbol("BTCUSDT")
    ingest(symbol, "1h", SOURCE.fetch, START + 10 * HOUR)
    return symbol


def test_changed_history_rewrites_nothing_and_shows(btc: Symbol):
    before = list(Candle.objects.order_by("id").values())
    came = ingest(btc, "1h", SOURCE.with_closes(8, 1.5).fetch, START + 11 * HOUR)
    assert (came.new, came.revised) == (1, 1)
    assert list(Candle.objects.order_by("id").values())[:10] == before
    revision = CandleRevision.objects.get()
    assert (revision.open_time, revision.close, revision.source) == (START + 8 * HOUR, 1.5, "bybit")
    assert revision.seen_at == START + 11 * HOUR
    assert list(btc.revisions.values_list("interval", flat=True)) == ["1h"]


def test_each_version_is_stored_once(btc: Symbol):
    revised = [
        ingest(btc, "1h", SOURCE.with_closes(9, close).fetch, START + (11 + number) * HOUR).revised
        for number, close in enumerate([1.5, 1.5, 2.5])
    ]
    assert revised == [1, 0, 1]
    assert list(CandleRevision.objects.order_by("id").values_list("close", flat=True)) == [1.5, 2.5]


def test_a_source_that_takes_it_back_is_no_further_revision(btc: Symbol):
    ingest(btc, "1h", SOURCE.with_closes(9, 1.5).fetch, START + 11 * HOUR)
    assert ingest(btc, "1h", SOURCE.fetch, START + 12 * HOUR).revised == 0
    assert candle_frame(btc, "1h")["close"].iloc[9] == TRUTH["close"].iloc[9]


def test_another_venue_has_other_prices_and_revises_nothing(btc: Symbol):
    other = KnownSource(SOURCE.with_closes(8, 1.5).reported, name="binance")
    assert ingest(btc, "1h", other.fetch, START + 11 * HOUR).revised == 0
    assert not CandleRevision.objects.exists()
    assert Candle.objects.filter(source="binance").count() == 1


def test_a_changed_volume_is_a_revision_too(btc: Symbol):
    changed = TRUTH.copy()
    changed.iloc[9, changed.columns.get_loc("volume")] += 1e-9
    assert ingest(btc, "1h", KnownSource(changed).fetch, START + 11 * HOUR).revised == 1


def test_a_symbol_with_revisions_keeps_them_apart_by_interval(btc: Symbol):
    store_candles(btc, "1d", TRUTH.iloc[[0]], "bybit")
    ingest(btc, "1h", SOURCE.with_closes(9, 1.5).fetch, START + 11 * HOUR)
    assert not btc.revisions.filter(interval="1d").exists()


def test_the_admin_shows_both_versions_and_changes_none(btc: Symbol, admin_client):
    ingest(btc, "1h", SOURCE.with_closes(8, 1234.5).fetch, START + 11 * HOUR)
    page = admin_client.get("/admin/market/candlerevision/").content.decode()
    assert "1234.5" in page
    assert f"{TRUTH['close'].iloc[8]:g}" in page
    revision = CandleRevision.objects.get()
    assert admin_client.post(f"/admin/market/candlerevision/{revision.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_admin_shows_what_is_missing(btc: Symbol, admin_client):
    ingest(btc, "1h", SOURCE.without(10, 11).fetch, START + 13 * HOUR)
    page = admin_client.get("/admin/market/candlegap/").content.decode()
    assert "Jan. 1, 2024, 10 a.m." in page
