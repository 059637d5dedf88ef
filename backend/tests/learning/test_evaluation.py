import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from benchmarks.white_noise import foretold
from engine.snapshot import market_frame
from engine.terms import Costs
from learning.calibration import Method
from learning.evaluation import Scores, evaluate, scores
from learning.examples import examples
from learning.held_out import hold_out
from learning.measures import Measures, log_losses
from learning.recipes import Algorithm, Recipe
from learning.training import OneClassOnly, TooFewRows
from tests.markets import made_candles, random_candles, real_candles

RECIPE = Recipe(trees=8)


def found_on(rows: int = 900, recipe: Recipe = RECIPE) -> Scores:
    return evaluate(recipe, market_frame(random_candles(rows)))


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_all_figures_stand_for_the_same_rows(algorithm: Algorithm):
    recipe, market = Recipe(algorithm=algorithm, trees=5), market_frame(random_candles(700))
    held, found = hold_out(recipe, examples(recipe, market)), evaluate(recipe, market)
    scored = held.scored()
    assert (found.rows, found.folds) == (scored.rows.size, 4) == (sum(found.class_counts), 4)
    assert (found.first_time, found.last_time) == (market.index[scored.rows[0]], market.index[scored.rows[-1]])
    assert found.model.log_loss.value == pytest.approx(log_losses(scored.answers()).mean())
    assert found.gain["coin"].value == pytest.approx(np.log(3) - found.model.log_loss.value)
    for name, baseline in found.baselines.items():
        assert found.gain[name].value == pytest.approx(baseline.log_loss.value - found.model.log_loss.value)
    for curves in found.reliability.values():
        assert [sum(one.rows for one in curve.bins) for curve in curves] == [found.rows] * 3


def test_the_baselines_are_what_could_be_had_for_nothing():
    market = market_frame(random_candles(700))
    known = examples(RECIPE, market)
    found, scored = evaluate(RECIPE, market), hold_out(RECIPE, known).scored()
    assert found.baselines["coin"].accuracy.value == pytest.approx(1 / 3)
    same = known.labels.values[scored.rows - RECIPE.horizon] == scored.truth
    assert found.baselines["previous_action"].accuracy.value == pytest.approx(same.mean())
    majority = scored.majority.argmax(axis=1) == scored.truth
    assert found.baselines["majority"].accuracy.value == pytest.approx(majority.mean())


def test_calibration_lowers_the_error_and_is_fitted_on_the_past(real_data: Path):
    market = market_frame(real_candles(real_data, "BTCUSDT_1h").iloc[-2500:])
    found = evaluate(RECIPE, market)
    before, after = (np.mean([curve.error for curve in found.reliability[when]]) for when in ("before", "after"))
    assert after < before / 2
    assert found.model.log_loss.value < found.raw.log_loss.value
    assert found.calibration.method is Method.SIGMOID
    assert found.calibration.rows > found.rows


@pytest.mark.parametrize("method", list(Method))
def test_the_calibration_of_the_recipe_is_used(method: Method):
    found = found_on(recipe=Recipe(trees=8, calibration=method))
    assert found.calibration.method is method
    assert (found.model == found.raw) is (method is Method.NONE)


def test_scores_are_stored_as_json():
    found = found_on()
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(stored) == {field.name for field in fields(Scores)} - {"calibration"}
    assert set(stored["model"]) == {field.name for field in fields(Measures)}
    assert stored["model"]["accuracy"] == {
        "value": found.model.accuracy.value,
        "low": found.model.accuracy.low,
        "high": found.model.accuracy.high,
    }
    assert set(stored["baselines"]) == {"majority", "previous_action", "coin"}
    assert stored["first_time"].endswith("Z")
    assert len(stored["reliability"]["after"][0]["bins"]) == 10


def test_the_same_seed_gives_the_same_scores():
    assert found_on().to_json() == found_on().to_json()


def test_costs_only_take(real_data: Path):
    market = market_frame(real_candles(real_data, "SPY_1d").iloc[-1500:])
    known = examples(RECIPE, market)
    held = hold_out(RECIPE, known)
    free, dear = (scores(RECIPE, market, held, costs).economy for costs in (Costs(0, 0), Costs()))
    assert free.trades == dear.trades > 0
    assert free.return_percent > dear.return_percent


def test_a_history_that_falls_asleep_has_scores():
    """The last folds hold one class: areas are undefined there, and nothing else."""
    close = 100 * np.exp(np.concatenate([np.random.default_rng(0).normal(0, 0.01, 500).cumsum(), np.full(700, 0.05)]))
    found = evaluate(RECIPE, market_frame(made_candles(close)))
    json.dumps(found.to_json(), allow_nan=False)


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(TooFewRows):
        evaluate(RECIPE, market_frame(random_candles(60)))
    with pytest.raises(TooFewRows):
        evaluate(RECIPE, market_frame(random_candles(10)))
    with pytest.raises(OneClassOnly):
        evaluate(RECIPE, market_frame(made_candles(np.full(400, 100.0))))


def test_shuffled_folds_see_skill_in_white_noise_and_ours_see_none():
    found = [foretold(seed, 700, Recipe(horizon=20, threshold=0.02, trees=10)) for seed in range(4)]
    assert min(one.shuffled.value for one in found) > 0.55
    assert not any(one.shuffled.holds(0.5) for one in found)
    assert abs(np.mean([one.ours.value for one in found]) - 0.5) < 0.06
    assert sum(one.ours.holds(0.5) for one in found) >= 3


def test_nothing_can_be_foretold_in_a_random_walk():
    found = evaluate(Recipe(trees=40), market_frame(random_candles(3000)))
    assert found.model.auc is not None
    assert found.model.auc.holds(0.5)
    assert found.gain["majority"].low < 0
    assert found.economy.excess_percent.low < 0
