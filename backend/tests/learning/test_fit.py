from pathlib import Path

import numpy as np
import pytest

from engine.features import FEATURES, FeatureForm
from engine.orders import Action
from engine.snapshot import market_frame
from learning.training.examples import Examples, examples, rows_known
from learning.training.fit import MINIMUM_ROWS, OneClassOnly, TooFewRows, TrainedModel, TrainingError, fit
from learning.training.recipes import Algorithm, Recipe, ThresholdUnit
from tests.markets import Array, assert_same_bits, random_candles, real_candles

ALGORITHMS = list(Algorithm)


def recipe(algorithm: Algorithm = Algorithm.RANDOM_FOREST, **fields: int) -> Recipe:
    return Recipe(algorithm=algorithm, **{"trees": 20, **fields})


def rows(count: int = 400, classes: int = 3, seed: int = 0) -> tuple[Array, np.ndarray]:
    """Features of which the first tells the class."""
    random = np.random.default_rng(seed)
    values = random.integers(0, classes, count).astype(np.int8)
    matrix = random.normal(size=(count, len(FEATURES)))
    matrix[:, 0] += 2.0 * values
    return matrix, values


def model_of(algorithm: Algorithm, **fields: int) -> TrainedModel:
    return fit(recipe(algorithm, **fields), *rows())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_model_learns_what_can_be_learned(algorithm: Algorithm):
    matrix, values = rows(seed=1)
    answers = model_of(algorithm).probabilities(matrix)
    assert answers.shape == (400, 3)
    assert answers.dtype == np.float64
    np.testing.assert_allclose(answers.sum(axis=1), 1.0)
    assert np.mean(answers.argmax(axis=1) == values) > 0.7


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_probabilities_are_those_of_scikit_learn(algorithm: Algorithm):
    model, (matrix, _) = model_of(algorithm), rows(seed=1)
    np.testing.assert_allclose(model.probabilities(matrix), model.library_probabilities(matrix), rtol=0, atol=1e-9)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_gives_the_same_bits(algorithm: Algorithm):
    matrix, _ = rows(seed=1)
    first, again, other = (model_of(algorithm, seed=seed).probabilities(matrix) for seed in (7, 7, 8))
    assert_same_bits(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("form", list(FeatureForm))
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_row_has_the_bits_of_the_batch(real_data: Path, algorithm: Algorithm, form: FeatureForm):
    known = real_examples(real_data, Recipe(algorithm=algorithm, form=form, trees=60))
    chosen = np.flatnonzero(known.complete & (known.labels.values >= 0))
    model = fit(Recipe(algorithm=algorithm, form=form, trees=60), known.matrix[chosen], known.labels.values[chosen])
    batch = model.probabilities(known.matrix)
    assert not np.isnan(batch[chosen]).any()
    for size in (1, 2, 3, 5, 64):
        for first in range(0, len(batch) - size, 41):
            assert_same_bits(model.probabilities(known.matrix[first : first + size]), batch[first : first + size])


def real_examples(folder: Path, recipe_: Recipe) -> Examples:
    return examples(recipe_, market_frame(real_candles(folder, "BTCUSDT_1h").iloc[:1200]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("absent", list(Action))
def test_a_class_that_was_not_seen_has_no_probability(algorithm: Algorithm, absent: Action):
    matrix, values = rows(classes=2)
    values = np.array([action for action in Action if action is not absent], dtype=np.int8)[values]
    model = fit(recipe(algorithm), matrix, values)
    answers = model.probabilities(matrix)
    assert (answers[:, absent] == 0).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1.0)
    assert np.mean(answers.argmax(axis=1) == values) > 0.7
    assert_same_bits(model.probabilities(matrix[5:6]), answers[5:6])
    assert (model.class_counts[absent], model.rows) == (0, 400)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_row_that_is_not_complete_has_no_answer(algorithm: Algorithm):
    model, (matrix, _) = model_of(algorithm), rows(seed=1)
    truth = model.probabilities(matrix)
    matrix[3, 13] = np.nan
    matrix[9, 0] = np.inf
    answers = model.probabilities(matrix)
    assert np.flatnonzero(np.isnan(answers).any(axis=1)).tolist() == [3, 9]
    rest = np.setdiff1d(np.arange(400), [3, 9])
    assert_same_bits(answers[rest], truth[rest])
    assert np.isnan(model.probabilities(np.full((4, 14), np.nan))).all()
    assert model.probabilities(np.empty((0, 14))).shape == (0, 3)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_rare_class_counts_as_much_as_a_common_one(algorithm: Algorithm):
    random = np.random.default_rng(3)
    values = np.where(random.random(1000) < 0.1, Action.BUY, Action.HOLD).astype(np.int8)
    matrix = random.normal(size=(1000, len(FEATURES)))
    answers = fit(Recipe(algorithm=algorithm, trees=40), matrix, values).probabilities(matrix)
    # Nothing can be learned here: an unbalanced model would say BUY at about 0.1.
    assert 0.35 < answers[:, Action.BUY].mean() < 0.6


def test_too_few_rows_are_refused():
    matrix, values = rows(MINIMUM_ROWS)
    fit(recipe(), matrix, values)
    with pytest.raises(TooFewRows, match="29 rows to train on, but at least 30 are needed"):
        fit(recipe(), matrix[1:], values[1:])
    with pytest.raises(TooFewRows, match="0 rows"):
        fit(recipe(), matrix[:0], values[:0])


def test_a_single_class_is_refused():
    matrix, values = rows()
    with pytest.raises(OneClassOnly, match="all 400 rows to train on are labelled HOLD; a smaller threshold"):
        fit(recipe(), matrix, np.ones_like(values))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_missing_feature_is_refused(bad: float):
    matrix, values = rows()
    matrix[17, 4] = bad
    with pytest.raises(TrainingError, match="a feature of row 17 is missing or not finite"):
        fit(recipe(), matrix, values)


@pytest.mark.parametrize("label", [-1, 3])
def test_an_unknown_label_is_refused(label: int):
    matrix, values = rows()
    values[5] = label
    with pytest.raises(TrainingError, match="not SELL, HOLD or BUY"):
        fit(recipe(), matrix, values)


def test_rows_and_labels_have_to_agree():
    matrix, values = rows()
    with pytest.raises(TrainingError, match="399 rows of features, but 400 labels"):
        fit(recipe(), matrix[1:], values)


def test_the_window_keeps_the_latest_rows():
    market = market_frame(random_candles(300))
    every, latest = (rows_known(one, examples(one, market), at=200) for one in (Recipe(), Recipe(window=40)))
    assert every.tolist() == list(range(49, 196))
    assert latest.tolist() == list(range(156, 196))


def test_a_threshold_in_volatilities_is_the_same_for_every_price():
    candles = random_candles(300)
    recipe_ = Recipe(threshold=0.5, threshold_unit=ThresholdUnit.VOLATILITY)
    market = market_frame(candles)
    known = examples(recipe_, market)
    move = market["close"].shift(-5) - market["close"]
    expected = np.sign(move).where(move.abs() > 0.5 * market["volatility"], 0.0) + 1
    assert known.labels.values[49:295].tolist() == expected.iloc[49:295].tolist()
    assert set(known.labels.values[295:]) == {-1}
