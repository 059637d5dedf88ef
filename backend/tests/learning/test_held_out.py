from pathlib import Path

import numpy as np
import pytest

from engine.snapshot import market_frame
from engine.validation import walk_forward
from learning.scores.evaluation import HeldOut
from learning.training.calibration import Method, fit_calibration
from learning.training.examples import examples
from learning.training.fit import OneClassOnly, TooFewRows, fit
from learning.training.held_out import calibration_of, hold_out, recalibrated
from learning.training.recipes import Algorithm, Recipe
from tests.lookahead import scrambled
from tests.markets import assert_same_bits, made_candles, random_candles, real_candles

RECIPE = Recipe(trees=6)


def held_on(rows: int = 900, recipe: Recipe = RECIPE) -> HeldOut:
    return hold_out(recipe, examples(recipe, market_frame(random_candles(rows))))


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_each_fold_is_answered_by_a_model_of_its_past(algorithm: Algorithm):
    recipe = Recipe(algorithm=algorithm, trees=4, folds=3)
    known = examples(recipe, market_frame(random_candles(500)))
    held = hold_out(recipe, known)
    folds = walk_forward(known.labels, known.complete, 3, embargo=recipe.horizon)
    assert len(folds) == 3
    for number, fold in enumerate(folds):
        ours = held.fold == number
        assert held.rows[ours].tolist() == fold.test.tolist()
        model = fit(recipe, known.matrix[fold.train], known.labels.values[fold.train])
        assert_same_bits(held.raw[ours], model.probabilities(known.matrix[fold.test]))
        assert_same_bits(held.majority[ours][0], model.class_shares)
        assert known.labels.ends[fold.train].max() < fold.test[0] - recipe.horizon


def test_a_calibration_knows_only_labels_that_had_closed():
    known = examples(RECIPE, market_frame(random_candles(900)))
    held = hold_out(RECIPE, known)
    for number in range(1, 5):
        ours = held.fold == number
        before = held.rows + RECIPE.horizon < held.rows[ours][0]
        calibration = fit_calibration(Method.SIGMOID, held.raw[before], held.truth[before])
        assert calibration.method is Method.SIGMOID
        assert_same_bits(held.calibrated[ours], calibration.apply(held.raw[ours]))
    first = held.fold == 0
    assert_same_bits(held.calibrated[first], held.raw[first])
    assert held.scored().rows.tolist() == held.rows[~first].tolist()


def test_the_calibration_at_work_knows_all_of_them():
    held = held_on()
    assert calibration_of(RECIPE, held) == fit_calibration(Method.SIGMOID, held.raw, held.truth)


def test_a_fold_is_blind_to_what_comes_after_its_labels(real_data: Path):
    candles = real_candles(real_data, "BTCUSDT_1h").iloc[:900]
    held = hold_out(RECIPE, examples(RECIPE, market_frame(candles)))
    end = int(held.rows[held.fold == 1][-1]) + RECIPE.horizon
    changed = hold_out(RECIPE, examples(RECIPE, market_frame(scrambled(candles, end))))
    early = held.fold <= 1
    for name in ("rows", "truth", "raw", "calibrated", "majority", "previous", "after_previous"):
        assert_same_bits(getattr(changed, name)[early], getattr(held, name)[early])
    assert not np.array_equal(changed.raw[held.fold == 2], held.raw[held.fold == 2])


def test_a_history_can_end_before_the_market_does():
    market = market_frame(random_candles(900))
    early = hold_out(RECIPE, examples(RECIPE, market), at=599)
    alone = hold_out(RECIPE, examples(RECIPE, market.iloc[:600]))
    for name in HeldOut.__slots__:
        assert_same_bits(getattr(early, name), getattr(alone, name))


def test_the_window_bounds_what_a_fold_trains_on():
    held = held_on(recipe=Recipe(trees=6, window=60))
    assert (held.majority * 60).round(9).tolist() == (held.majority * 60).round().tolist()


def test_the_previous_action_is_the_last_that_was_known():
    known = examples(RECIPE, market_frame(random_candles(900)))
    held = hold_out(RECIPE, known)
    assert held.previous.tolist() == known.labels.values[held.rows - RECIPE.horizon].tolist()
    np.testing.assert_allclose(held.after_previous.sum(axis=1), 1.0)
    assert held.after_previous.min() > 0
    assert held.baselines()["previous_action"].right.mean() == (held.previous == held.truth).mean()


def test_a_horizon_longer_than_the_warm_up_has_a_previous_action_too():
    held = held_on(recipe=Recipe(trees=2, horizon=80))
    assert np.isin(held.previous, [0, 1, 2]).all()


def test_another_calibration_asks_no_model_again():
    known = examples(RECIPE, market_frame(random_candles(900)))
    held = hold_out(RECIPE, known)
    plain = recalibrated(RECIPE, known, held, Method.NONE)
    assert_same_bits(plain.calibrated, held.raw)
    assert_same_bits(recalibrated(RECIPE, known, plain, Method.SIGMOID).calibrated, held.calibrated)


def test_a_fold_without_enough_history_is_left_out():
    recipe = Recipe(trees=6, folds=10)
    held = held_on(280, recipe)
    assert 1 <= len(np.unique(held.fold)) < 10
    assert (np.diff(held.fold) >= 0).all()


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(TooFewRows):
        held_on(60)
    known = examples(RECIPE, market_frame(made_candles(np.full(400, 100.0))))
    with pytest.raises(OneClassOnly):
        hold_out(RECIPE, known)
