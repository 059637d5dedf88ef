from dataclasses import replace

import pytest

from engine.features import FEATURE_VERSION
from learning.models import TrainingTask
from learning.registry.services import train_version
from learning.training.recipes import Recipe
from market.models import Symbol
from market.services import store_candles
from tests.api import problem
from tests.markets import random_candles
from tests.trading.api.markets import API, body, results
from tests.trading.api.test_api_settings import version
from trading.models import Follow
from trading.training import trainer
from trading.training.trainer import recipe_for, train_requested

MODELS = API + "models/"
TRAIN = MODELS + "train/"
KEYS = {
    "id", "symbol", "symbol_id", "symbol_name", "interval", "model_type", "name", "status", "recipe", "features",
    "data_range", "scores", "baselines", "calibration", "artefact_hash", "content_hash", "created_at",
}  # fmt: skip


@pytest.fixture
def bitcoin(user) -> Symbol:
    return Symbol.objects.get(symbol="BTCUSDT")


def test_a_model_says_what_it_was_made_of(client, bitcoin):
    store_candles(bitcoin, "1h", random_candles(200), "csv")
    made = train_version(bitcoin, "1h", Recipe(trees=2))
    (row,) = results(client.get(MODELS))
    assert set(row) == KEYS
    assert (row["symbol"], row["interval"], row["model_type"]) == ("BTCUSDT", "1h", "random_forest")
    assert row["content_hash"] == made.content_hash
    assert row["recipe"]["seed"] == 42
    assert row["data_range"] == {
        "first_time": "2024-01-01T00:00:00Z", "last_time": "2024-01-09T07:00:00Z", "rows": made.rows
    }  # fmt: skip
    assert (row["name"], row["status"], row["features"]["version"]) == ("random_forest", "champion", FEATURE_VERSION)
    assert {"coin", "majority", "previous_action"} <= set(row["baselines"])
    assert row["scores"]["rows"] > 0
    assert body(client.get(f"{MODELS}{row['id']}/")) == row


def test_scores_stand_beside_their_baselines(client, bitcoin):
    made = version(bitcoin, 1)
    made.scores = {"model": {"accuracy": 0.5}, "baselines": {"coin": {"accuracy": 0.33}}}
    made.save()
    row = body(client.get(f"{MODELS}{made.pk}/"))
    assert row["scores"] == {"model": {"accuracy": 0.5}}
    assert row["baselines"] == {"coin": {"accuracy": 0.33}}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 2), ("symbol=btcusdt", 2), ("symbol=AAPL", 0), ("interval=1d", 0), ("model_type=gradient_boosting", 0),
        ("status=champion", 0), ("status=challenger", 2),
    ],
)  # fmt: skip
def test_they_can_be_filtered(client, bitcoin, query, count):
    version(bitcoin, 1)
    version(bitcoin, 2, horizon=12)
    assert len(results(client.get(f"{MODELS}?{query}"))) == count


@pytest.mark.parametrize("query", ["interval=7h", "model_type=x", "symbol_id=x", "status=x", "limit=0"])
def test_bad_filters_are_400(client, query):
    assert problem(client.get(f"{MODELS}?{query}")) == (400, "invalid")


def test_the_models_of_what_is_not_followed_are_404(client, bitcoin):
    made = version(bitcoin, 1)
    Follow.objects.all().delete()
    assert results(client.get(MODELS)) == []
    assert problem(client.get(f"{MODELS}{made.pk}/")) == (404, "not_found")


@pytest.mark.parametrize("count", [5, 50])
def test_a_list_costs_the_same_however_long(client, bitcoin, count, django_assert_num_queries):
    for number in range(count):
        version(bitcoin, number)
    with django_assert_num_queries(5):
        assert len(results(client.get(MODELS))) == count


@pytest.fixture
def trained(monkeypatch) -> None:
    """Training in this process: the child of life is tested beside the loop."""
    monkeypatch.setattr(trainer, "recipe_for", lambda name: replace(recipe_for(name), trees=2, folds=2))


def test_a_training_that_was_asked_for_is_done_and_told(client, bitcoin, trained):
    store_candles(bitcoin, "4h", random_candles(200), "csv")
    answer = client.post(TRAIN, {"symbol_id": bitcoin.pk, "interval": "4h", "model_type": "gradient_boosting"})
    asked = body(answer, 202)
    assert (asked["status"], asked["model_type"], asked["interval"]) == ("queued", "gradient_boosting", "4h")
    assert train_requested(prepare=lambda market: None)
    told = body(client.get(f"{TRAIN}{asked['task_id']}/"))
    assert (told["status"], told["error"]) == ("done", "")
    row = body(client.get(f"{MODELS}{told['model_id']}/"))
    assert (row["model_type"], row["status"]) == ("gradient_boosting", "champion")
    assert not train_requested(prepare=lambda market: None)


def test_a_training_that_cannot_be_done_says_why(client, bitcoin):
    task = body(client.post(TRAIN, {"symbol_id": bitcoin.pk}), 202)["task_id"]
    assert train_requested(prepare=lambda market: None)
    told = body(client.get(f"{TRAIN}{task}/"))
    assert (told["status"], told["model_id"]) == ("failed", None)
    assert told["error"] == "no candles of BTCUSDT at 1h are stored"


def test_asked_twice_it_is_trained_once(client, bitcoin):
    tasks = [body(client.post(TRAIN, {"symbol_id": bitcoin.pk}), 202)["task_id"] for _ in range(2)]
    assert tasks[0] == tasks[1]
    assert TrainingTask.objects.count() == 1


def test_a_user_can_have_ten_trainings_wait_and_no_more(client, user):
    symbols = [follow.symbol for follow in Follow.objects.select_related("symbol")[:11]]
    answers = [client.post(TRAIN, {"symbol_id": symbol.pk}) for symbol in symbols]
    assert [answer.status_code for answer in answers] == [202] * 10 + [409]
    assert problem(answers[-1]) == (409, "too_many_trainings")


@pytest.mark.parametrize(
    "wrong",
    [{}, {"symbol_id": "1"}, {"symbol_id": 0}, {"interval": "7h"}, {"model_type": "oracle"}, {"model_type": None}],
)
def test_a_training_of_nonsense_is_400(client, bitcoin, wrong):
    asked = {"symbol_id": bitcoin.pk, **wrong} if wrong else {}
    assert problem(client.post(TRAIN, asked)) == (400, "invalid")
    assert not TrainingTask.objects.exists()
