"""The month before the oldest stored candle is fetched before a model learns, and is never in its way."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import time_machine
from django.core.management import call_command

from engine.indicators import WINDOW
from learning.making import make_model
from learning.models import ModelVersion, TrainingTask
from learning.recipes import Recipe
from learning.requests import request_training
from learning.serving import Predictor
from market.ingestion import history
from market.models import Candle, CandleGap, Symbol
from market.selectors import candle_frame
from market.services import add_symbol, store_candles
from market.sources import choice
from market.sources.base import FIRST_SPAN
from market.window import CandleWindow
from tests.files import on_disk
from tests.market.known_source import KnownSource
from tests.markets import random_candles
from tests.trading.markets import running_account
from trading.agents.market_monitor import TICK_CANDLES
from trading.live.feeds import FILES, LIVE, keep_up, reach_back
from trading.management.commands import train_model
from trading.runtime import tasks
from trading.runtime.pipeline import make_pipeline
from trading.selectors.markets import Market
from trading.training import trainer as trainer_module
from trading.training.trainer import Trainer, recipe_for, train_requested

__all__ = ["on_disk"]

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
FIVE = timedelta(minutes=5)
MONTH = 30 * 24 * 12
STORED = 400
TRUTH = random_candles(MONTH + 100).set_index(
    pd.date_range(end=NOW - FIVE, periods=MONTH + 100, freq="5min", unit="us")
)


@pytest.fixture(autouse=True)
def at_that_time() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(name: str) -> Recipe:
        return replace(recipe_for(name), trees=3, folds=2)

    monkeypatch.setattr(trainer_module, "recipe_for", small)
    monkeypatch.setattr(train_model, "recipe_for", small)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, settings) -> KnownSource:
    """The one source that there is."""
    settings.MARKET_SOURCES = LIVE
    known = KnownSource(TRUTH, intervals=frozenset({"5m"}))
    monkeypatch.setattr(choice, "sources_for", lambda symbol, files=True: [known])
    return known


def begun(symbol: str = "BTCUSDT") -> Symbol:
    """A market that stores less than a month."""
    row = add_symbol(symbol)
    store_candles(row, "5m", TRUTH.iloc[-STORED:], "bybit")
    return row


def test_the_first_model_of_a_live_market_learns_from_a_month(source: KnownSource, on_disk: None) -> None:
    symbol = begun()
    running_account(interval="5m")
    pipeline = make_pipeline()
    trainer = Trainer(Predictor(), pipeline.prepare_training, make=make_model)
    assert not trainer.ready(Market(symbol, "5m"))
    trainer.thread.join(60)
    assert ModelVersion.objects.get().first_time < NOW - timedelta(days=29)
    assert Candle.objects.count() == MONTH


@pytest.mark.django_db
def test_so_does_what_is_trained_by_command(source: KnownSource) -> None:
    begun()
    call_command("train_model", symbol="BTCUSDT", interval="5m")
    assert ModelVersion.objects.get().first_time < NOW - timedelta(days=29)


@pytest.mark.django_db
def test_so_does_what_is_trained_on_request(source: KnownSource) -> None:
    symbol = begun()
    request_training(running_account().user, symbol, "5m", "random_forest")
    assert train_requested(make_pipeline().prepare_training)
    assert TrainingTask.objects.get().version.first_time < NOW - timedelta(days=29)


@pytest.mark.django_db
def test_so_does_what_a_worker_trains(source: KnownSource, monkeypatch: pytest.MonkeyPatch) -> None:
    symbol = begun()
    running_account(interval="5m")
    monkeypatch.setattr(tasks, "pipeline", make_pipeline)
    tasks.train_model(symbol.pk, "5m", "random_forest")
    assert ModelVersion.objects.get().first_time < NOW - timedelta(days=29)


@pytest.mark.django_db
def test_a_worker_trains_on_what_is_stored_where_no_source_is_left(
    source: KnownSource, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    symbol = begun()
    running_account(interval="5m")
    settings.MARKET_SOURCES = FILES
    monkeypatch.setattr(tasks, "pipeline", make_pipeline)
    tasks.train_model(symbol.pk, "5m", "random_forest")
    assert ModelVersion.objects.get().first_time >= NOW - STORED * FIVE


@pytest.mark.django_db
def test_a_market_without_candles_is_polled_first(source: KnownSource) -> None:
    call_command("train_model", symbol="BTCUSDT", interval="5m")
    assert ModelVersion.objects.get().first_time < NOW - timedelta(days=29)
    assert Candle.objects.count() == MONTH


@pytest.mark.django_db
def test_a_failing_source_is_logged_and_the_stored_candles_are_learned(
    source: KnownSource, caplog: pytest.LogCaptureFixture
) -> None:
    begun()
    source.down = True
    call_command("train_model", symbol="BTCUSDT", interval="5m")
    assert ModelVersion.objects.get().first_time >= NOW - STORED * FIVE
    assert "BTCUSDT 5m: its history stays as short as it is: bybit: does not answer" in caplog.text
    source.down = False
    call_command("train_model", symbol="BTCUSDT", interval="5m")
    assert ModelVersion.objects.latest("pk").first_time < NOW - timedelta(days=29)


@pytest.mark.django_db
def test_a_first_look_that_is_cut_short_says_so(
    source: KnownSource, caplog: pytest.LogCaptureFixture, monkeypatch
) -> None:
    monkeypatch.setattr(history, "FIRST_SECONDS", 0.0)
    keep_up(add_symbol("BTCUSDT"), "5m", NOW)
    assert "BTCUSDT 5m: bybit is slow: the rest of its history is requested before a model is trained" in caplog.text


@pytest.mark.django_db
def test_a_source_without_older_candles_is_asked_once_a_day(source: KnownSource) -> None:
    source.reported = TRUTH.iloc[-STORED:]
    symbol = begun()
    for _ in range(3):
        reach_back(symbol, "5m", NOW)
    assert len(source.asked) == 1
    assert (Candle.objects.count(), CandleGap.objects.count()) == (STORED, 0)
    with time_machine.travel(NOW + timedelta(days=1, minutes=1), tick=False):
        reach_back(symbol, "5m", NOW)
    assert len(source.asked) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("stored_by", ["replay", "csv", "binance"])
def test_another_source_is_not_asked_for_what_came_before(source: KnownSource, stored_by: str) -> None:
    symbol = add_symbol("BTCUSDT")
    store_candles(symbol, "5m", TRUTH.iloc[-STORED:], stored_by)
    reach_back(symbol, "5m", NOW)
    assert source.asked == []


@pytest.mark.django_db(transaction=True)
def test_agents_see_the_same_market_after_their_history_has_grown(source: KnownSource) -> None:
    """Nothing older is published, and the window kept in memory is read anew where it was not full."""
    symbol = begun()
    market, pipeline = Market(symbol, "5m"), make_pipeline()
    assert pipeline.publish_next(market)
    reach_back(symbol, "5m", NOW)
    assert not pipeline.publish_next(market)
    candle = TRUTH.iloc[-1:].set_axis(TRUTH.index[-1:] + FIVE)
    store_candles(symbol, "5m", candle, "bybit")
    assert pipeline.publish_next(market)
    kept, read = pipeline.monitor._windows[symbol.pk, "5m"], CandleWindow.stored(symbol, "5m", WINDOW)
    assert (kept.times == read.times).all()
    assert (kept.values == read.values).all()
    assert len(candle_frame(symbol, "5m")) == MONTH + 1


def test_the_price_step_is_read_from_all_of_a_first_history() -> None:
    assert timedelta(minutes=TICK_CANDLES) > FIRST_SPAN
