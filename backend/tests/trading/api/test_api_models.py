import pytest

from learning.recipes import Recipe
from learning.services import train_version
from market.models import Symbol
from market.services import store_candles
from tests.api import problem
from tests.markets import random_candles
from tests.trading.api.markets import API, body, results
from tests.trading.api.test_api_settings import version
from trading.models import Follow

MODELS = API + "models/"
KEYS = {
    "id", "symbol", "symbol_id", "symbol_name", "interval", "model_type", "recipe", "data_range", "scores", "baselines",
    "content_hash", "created_at",
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
    assert row["scores"] == row["baselines"] == {}
    assert body(client.get(f"{MODELS}{row['id']}/")) == row


def test_scores_stand_beside_their_baselines(client, bitcoin):
    made = version(bitcoin, 1)
    made.scores = {"accuracy": 0.5, "majority_accuracy": 0.4, "coin_accuracy": 0.33}
    made.save()
    row = body(client.get(f"{MODELS}{made.pk}/"))
    assert row["scores"] == {"accuracy": 0.5}
    assert row["baselines"] == {"majority_accuracy": 0.4, "coin_accuracy": 0.33}


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 2), ("symbol=btcusdt", 2), ("symbol=AAPL", 0), ("interval=1d", 0), ("model_type=gradient_boosting", 0)],
)
def test_they_can_be_filtered(client, bitcoin, query, count):
    version(bitcoin, 1)
    version(bitcoin, 2, horizon=12)
    assert len(results(client.get(f"{MODELS}?{query}"))) == count


@pytest.mark.parametrize("query", ["interval=7h", "model_type=x", "symbol_id=x", "limit=0"])
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
