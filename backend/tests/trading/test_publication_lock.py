"""What is read under the publication lock stays true until the candle is published."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from market.ingestion.backfill import fill_gaps
from market.ingestion.candles import ingest
from market.models import Candle, Symbol
from market.services import add_symbol
from tests.market.known_source import KnownSource
from tests.markets import random_candles
from tests.waiting import in_a_thread, until_it_waits
from trading.live.markets import publication_lock
from trading.selectors.markets import Market

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]
TRUTH = random_candles(60)
NOW = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=30)


def poll(symbol: Symbol) -> object:
    return ingest(symbol, "1h", KnownSource(TRUTH).fetch, NOW + timedelta(hours=1))


def fill(symbol: Symbol) -> object:
    return fill_gaps(symbol, "1h", KnownSource(TRUTH).fetch, NOW + timedelta(days=1))


@pytest.mark.parametrize("store", [poll, fill])
def test_no_other_connection_stores_a_candle_meanwhile(store: Callable[[Symbol], object]) -> None:
    symbol = add_symbol("BTCUSDT")
    ingest(symbol, "1h", KnownSource(TRUTH.drop(TRUTH.index[20])).fetch, NOW)
    known = Candle.objects.count()
    with ThreadPoolExecutor(1) as pool:
        with publication_lock(Market(symbol, "1h")):
            other = pool.submit(in_a_thread, lambda: store(symbol))
            until_it_waits(other)
            assert Candle.objects.count() == known
        other.result()
    assert Candle.objects.count() > known
