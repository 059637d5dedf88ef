"""Training for the agents: beside the loop, by command, and its log lines."""

import time
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from learning.apart import make_model_apart
from learning.making import make_model
from learning.models import ModelVersion, Promotion, TrainingTask
from learning.recipes import Recipe
from learning.requests import begin_training, finish_training, request_training
from learning.selectors import champion
from learning.serving import Predictor
from market.services import add_symbol, store_candles
from tests.files import on_disk
from tests.markets import random_candles
from tests.trading.markets import market, running_account
from trading.management.commands import train_model
from trading.models import AgentLog
from trading.training import trainer as trainer_module
from trading.training.trainer import Trainer, recipe_for, train_requested

__all__ = ["on_disk"]

LONGEST_SECONDS = 120


@pytest.fixture(autouse=True)
def small_models(monkeypatch) -> None:
    def small(name: str) -> Recipe:
        return replace(recipe_for(name), trees=3, folds=2)

    monkeypatch.setattr(trainer_module, "recipe_for", small)
    monkeypatch.setattr(train_model, "recipe_for", small)


def wait(trainer: Trainer) -> None:
    until = time.monotonic() + LONGEST_SECONDS
    while trainer.busy and time.monotonic() < until:
        time.sleep(0.02)
    assert not trainer.busy


@pytest.mark.usefixtures("on_disk")
def test_the_loop_waits_for_the_first_model_only():
    """Trained in a child process, as in life."""
    running_account()
    store_candles(market().symbol, "1h", random_candles(200), "csv")
    trainer = Trainer(Predictor(), make=make_model_apart)
    assert not trainer.ready(market())
    assert not trainer.ready(market())
    wait(trainer)
    assert trainer.ready(market())
    version = champion(market().symbol, "1h", "random_forest")
    assert trainer.predictor.is_warm(version)
    assert "Trained a random_forest model" in AgentLog.objects.get().message


@pytest.mark.usefixtures("on_disk")
def test_a_market_that_cannot_be_trained_goes_on_and_says_why():
    running_account()
    store_candles(market().symbol, "1h", random_candles(60), "csv")
    trainer = Trainer(Predictor(), make=make_model)
    assert not trainer.ready(market())
    wait(trainer)
    assert trainer.ready(market())
    assert "at least 30 are needed" in AgentLog.objects.get().message


@pytest.mark.usefixtures("on_disk")
def test_the_loop_runs_requested_trainings():
    account = running_account()
    store_candles(market().symbol, "1h", random_candles(200), "csv")
    asked = [request_training(account.user, market().symbol, "1h", "gradient_boosting") for _ in range(2)]
    trainer = Trainer(Predictor(), make=make_model)
    for _ in asked:
        trainer.polled = -10.0
        trainer.work()
        wait(trainer)
    done = TrainingTask.objects.order_by("pk")
    assert [task.status for task in done] == ["done", "done"]
    assert len({task.version_id for task in done}) == 1


@pytest.mark.django_db
def test_an_unexpected_error_is_stored_on_the_request_and_raised():
    account = running_account()
    task = request_training(account.user, market().symbol, "1h", "random_forest")

    def broken(it: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_requested(prepare=broken)
    task.refresh_from_db()
    assert (task.status, task.error) == ("failed", "an error of the platform: ZeroDivisionError")


@pytest.mark.django_db
def test_a_request_is_taken_once_and_again_when_its_process_has_died():
    account = running_account()
    task = request_training(account.user, market().symbol, "1h", "random_forest")
    assert begin_training() == task
    assert begin_training() is None
    TrainingTask.objects.update(started_at="2020-01-01T00:00:00Z")
    assert begin_training() == task
    finish_training(task, None, "no")
    assert begin_training() is None


@pytest.mark.django_db
def test_train_model_fetches_trains_and_shows_the_scores_beside_the_baselines(capsys):
    call_command("train_model", symbol="GOOG", interval="1d", model_type="gradient_boosting")
    output = capsys.readouterr().out
    version = ModelVersion.objects.get()
    assert f"gradient_boosting for GOOG at 1d: champion\n  hash      {version.content_hash}" in output
    assert {"model", "majority", "previous_action", "coin"} <= {line.split()[0] for line in output.splitlines()}
    call_command("train_model", symbol="GOOG", interval="1d", model_type="gradient_boosting", seed=7, promote=True)
    assert champion(version.symbol, "1d", "gradient_boosting").seed == 7
    assert Promotion.objects.latest("pk").reason == "by hand"
    capsys.readouterr()
    call_command("check_model_learning", symbol="GOOG")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "GOOG 1d gradient_boosting"
    assert [line.split()[0] for line in lines[1:3]] == ["champion", "retired"]
    assert lines[3].endswith("(by hand)")
    assert lines[4].endswith("(the first model of its name)")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"symbol": "no symbol"}, "no symbol"),
        ({"symbol": "GOOG", "model_type": "oracle"}, "oracle"),
        ({"symbol": "GOOG", "horizon": 0}, "horizon"),
        ({"symbol": "GOOG", "history": 20}, "at least 30 are needed"),
    ],
)
def test_what_cannot_be_trained_is_one_clear_line(given, message):
    with pytest.raises(CommandError, match=message):
        call_command("train_model", **{"interval": "1d", **given})
    assert not ModelVersion.objects.exists()


@pytest.mark.django_db
def test_check_model_learning_shows_that_nothing_has_been_trained(capsys):
    call_command("check_model_learning")
    assert "No model has been trained yet" in capsys.readouterr().out


@pytest.mark.django_db
def test_check_model_learning_shows_that_no_model_decides(capsys):
    symbol = add_symbol("BTCUSDT")
    ModelVersion.objects.create(
        symbol=symbol, interval="1h", name="random_forest", algorithm="random_forest", recipe={}, content_hash="a" * 64,
        first_time="2024-01-01T00:00:00Z", last_time="2024-01-02T00:00:00Z", rows=1,
    )  # fmt: skip
    call_command("check_model_learning")
    assert "champion    none: no model decides until a challenger is promoted" in capsys.readouterr().out
