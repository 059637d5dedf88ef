"""Is the platform at work, on data of today? Without a beat or with live markets that are all late, it is not."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import time_machine

from config.readiness import _beat, _market_data, _sources
from market.models import SourceState
from market.services import store_candles
from tests.markets import random_candles
from tests.trading.markets import market, running_account
from trading.books.accounts import stop_agents
from trading.runtime import heartbeat
from trading.runtime.heartbeat import CELERY, LOOP, beat
from web.health import Finding

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]

NOW = datetime(2024, 3, 6, 12, 0, 30, tzinfo=UTC)  # a Wednesday


def candles(newest: datetime, rows: int = 3) -> pd.DataFrame:
    """Minutes up to the one that opened at `newest`."""
    frame = random_candles(rows)
    frame.index = pd.date_range(end=newest, periods=rows, freq="min", name="open_time")
    return frame


def stored(symbol: str, age: timedelta, source: str = "bybit") -> None:
    closed = (NOW - age).replace(second=0)
    store_candles(market(symbol, "1m").symbol, "1m", candles(closed - timedelta(minutes=1)), source)


@pytest.fixture
def at_noon() -> "time_machine.Traveller":
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.mark.parametrize("heart", [LOOP, CELERY])
def test_a_beat_is_known_by_its_age(heart: str, at_noon: time_machine.Traveller, settings) -> None:
    running_account(interval="1m")
    beat(heart)
    at_noon.shift(40)
    assert _beat() == Finding(ok=True, age_seconds=40.0)
    at_noon.shift(40)
    assert _beat() == Finding(ok=False, detail="the last one is too old", age_seconds=80.0)


def test_without_celery_nobody_has_to_beat_until_an_account_trades(settings) -> None:
    settings.REDIS_URL = ""
    account = running_account(interval="1m")
    assert _beat() == Finding(ok=False, detail="there was none")
    stop_agents(account)
    assert _beat() == Finding(ok=True, detail="no account trades")


def test_celery_has_to_beat_in_any_case(settings) -> None:
    settings.REDIS_URL = "redis://localhost:1/0"
    assert _beat() == Finding(ok=False, detail="there was none")


def test_a_cache_that_is_away_is_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*hearts: str) -> None:
        raise ConnectionError("10.0.0.7 refused")

    monkeypatch.setattr(heartbeat, "beat_age", refuse)
    assert _beat() == Finding(ok=False, detail="is not known")


def test_candles_that_are_played_are_never_late(at_noon: time_machine.Traveller) -> None:
    running_account(interval="1m")
    stored("BTCUSDT", timedelta(days=9), "replay")
    at_noon.shift(7200)
    assert _market_data() == Finding(ok=True, detail="played from files", age_seconds=7200.0)


def test_one_live_market_that_is_late_is_told_and_all_of_them_are_an_outage(at_noon: time_machine.Traveller) -> None:
    running_account(interval="1m", symbols="BTCUSDT ETHUSDT")
    stored("BTCUSDT", timedelta(minutes=1))
    stored("ETHUSDT", timedelta(minutes=20))
    assert _market_data() == Finding(ok=True, detail="1 of 2 live markets are on time", age_seconds=90.0)
    at_noon.shift(180)
    assert _market_data() == Finding(ok=False, detail="0 of 2 live markets are on time", age_seconds=270.0)


def test_a_market_that_is_closed_is_not_late() -> None:
    running_account(interval="1m", symbols="AAPL")
    apple = market("AAPL", "1m").symbol
    friday_close = datetime(2024, 3, 1, 21, 0, tzinfo=UTC)
    store_candles(apple, "1m", candles(friday_close - timedelta(minutes=1)), "yahoo")
    with time_machine.travel(datetime(2024, 3, 3, 12, 0, tzinfo=UTC), tick=False):
        assert _market_data().ok
    with time_machine.travel(datetime(2024, 3, 4, 15, 0, tzinfo=UTC), tick=False):
        assert not _market_data().ok


def test_markets_that_nobody_watches_do_not_count(at_noon: time_machine.Traveller) -> None:
    account = running_account(interval="1m")
    stored("BTCUSDT", timedelta(hours=2))
    assert not _market_data().ok
    stop_agents(account)
    assert _market_data() == Finding(ok=True, detail="none yet")


def test_sources_that_fail_are_named() -> None:
    SourceState.objects.create(name="bybit")
    assert _sources() == Finding(ok=True)
    SourceState.objects.create(name="yahoo", state="paused", retry_at=NOW)
    assert _sources() == Finding(ok=True, detail="failing: yahoo")
