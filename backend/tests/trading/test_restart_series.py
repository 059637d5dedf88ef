"""`./photon restart_series`, against a Yahoo of our own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from market.models import Candle, Symbol
from market.selectors import candle_frame
from market.services import store_candles
from market.sources import choice
from market.sources.client import HttpSettings
from market.sources.yahoo import YahooSource
from tests.api import make_user
from tests.market.servers import faults
from tests.market.servers.http import SetClock
from tests.market.servers.series import Series
from tests.market.servers.yahoo import YahooServer
from tests.trading.api.books import make_position
from trading.books.accounts import open_account

pytestmark = pytest.mark.django_db


@pytest.fixture
def yahoo(monkeypatch: pytest.MonkeyPatch) -> Iterator[YahooServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    clock = SetClock(datetime.now(UTC))
    with YahooServer(clock) as server:
        source = YahooSource(server.url, HttpSettings(clock=clock))
        monkeypatch.setattr(choice, "sources_for", lambda symbol, files: [source])
        today = clock.now.replace(hour=0, minute=0, second=0, microsecond=0)
        server.add(Series("XYZ", "1d", today - timedelta(days=30), 31))
        yield server


@pytest.fixture
def stored(yahoo: YahooServer) -> Symbol:
    """Twenty days of before a split of 4 for 1."""
    symbol = Symbol.objects.create(symbol="XYZ", kind="stock")
    truth = yahoo.any_series("XYZ")
    candles = truth.closed(truth.start, truth.start + timedelta(days=20), yahoo.clock())
    candles[["open", "high", "low", "close"]] *= 4
    store_candles(symbol, "1d", candles, "yahoo")
    return symbol


def test_the_series_is_on_the_new_scale(yahoo: YahooServer, stored: Symbol, capsys: pytest.CaptureFixture[str]):
    call_command("restart_series", symbol="XYZ", interval="1d")
    truth = yahoo.any_series("XYZ")
    expected = truth.closed(truth.start, yahoo.clock(), yahoo.clock())
    assert candle_frame(stored, "1d")["close"].tolist() == expected["close"].tolist()
    assert capsys.readouterr().out == "XYZ 1d: 30 candles of yahoo in the place of those that were stored.\n"


def test_nothing_is_lost_when_the_source_has_no_answer(yahoo: YahooServer, stored: Symbol):
    for fault, words in ((faults.SERVER_ERROR, "server error"), (faults.EMPTY, "no candles")):
        yahoo.faults.clear()
        yahoo.faults.add(fault, path="XYZ")
        with pytest.raises(CommandError, match=words):
            call_command("restart_series", symbol="XYZ", interval="1d")
        assert Candle.objects.count() == 20


def test_a_market_that_is_not_stored_is_named(yahoo: YahooServer):
    with pytest.raises(CommandError, match="no 1h candles of ABC are stored"):
        call_command("restart_series", symbol="ABC", interval="1h")


def test_no_account_may_hold_the_symbol(stored: Symbol, quick_passwords):
    make_position(open_account(make_user()), "XYZ")
    with pytest.raises(CommandError, match="XYZ is held: close its positions first"):
        call_command("restart_series", symbol="XYZ", interval="1d")
    assert Candle.objects.count() == 20
