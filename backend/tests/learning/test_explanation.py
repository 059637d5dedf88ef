from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.features import FEATURES
from engine.orders import NO_DECISION, Action
from engine.reasons import action_of
from engine.snapshot import market_frame
from learning.artefacts import Scorer
from learning.calibration import Method, fit_calibration
from learning.drift import profile
from learning.examples import Examples, examples
from learning.explanation import WHOLE, Explanation, Trees, explain
from learning.forest import Forest
from learning.recipes import Algorithm, Recipe
from learning.training import fit
from tests.markets import Array, made_candles, real_candles

ALGORITHMS = list(Algorithm)


class Trained:
    """A model of 40 trees as it is served: forest, calibration, and the usual changes of its features."""

    def __init__(self, algorithm: Algorithm, candles: pd.DataFrame, method: Method = Method.SIGMOID) -> None:
        recipe = Recipe(algorithm=algorithm, trees=40)
        known = examples(recipe, market_frame(candles))
        rows = np.flatnonzero(known.complete & (known.labels.values >= 0))
        half = rows.size // 2
        matrix, values = known.matrix[rows], known.labels.values[rows]
        forest = Forest.of(fit(recipe, matrix[:half], values[:half]).estimator)
        self.known: Examples = known
        self.rows = rows[half:]
        self.scorer, self.trees = Scorer(forest), Trees.of(forest)
        self.calibration = fit_calibration(method, self.scorer.probabilities(matrix[half:]), values[half:])
        self.spread = profile(matrix[:half]).spread

    def ask(self, vector: Array) -> Array:
        return np.asarray(self.calibration.apply(self.scorer.probabilities(vector.reshape(1, -1)))[0])

    def explain(self, vector: Array) -> Explanation:
        return explain(self.trees, vector, self.spread, self.ask, self.calibration.apply)


@pytest.fixture(scope="module", params=ALGORITHMS)
def trained(request: pytest.FixtureRequest) -> Trained:
    return Trained(request.param, swinging_candles(700))


def swinging_candles(rows: int) -> pd.DataFrame:
    """Moves that outlast a few candles, so that there is something to foretell."""
    random = np.random.default_rng(3)
    moves = np.zeros(rows)
    for row in range(1, rows):
        moves[row] = 0.85 * moves[row - 1] + random.normal(0.0, 0.002)
    return made_candles(100.0 * np.exp(np.cumsum(moves)), random.uniform(0.5, 2.0, rows))


def test_base_and_contributions_add_up_to_the_raw_probability_of_each_class(trained: Trained) -> None:
    for row in trained.rows:
        vector = trained.known.matrix[row]
        why = trained.explain(vector)
        raw = trained.scorer.probabilities(vector.reshape(1, -1))[0]
        assert np.abs(why.base + why.contributions.sum(axis=0) - raw).max() < 1e-9
        np.testing.assert_allclose(why.raw, raw, atol=1e-12)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_they_add_up_on_every_row_of_a_real_series(algorithm: Algorithm, real_data: Path) -> None:
    trained = Trained(algorithm, real_candles(real_data, "BTCUSDT_1h").iloc[-1500:])
    matrix = trained.known.matrix[trained.rows]
    raw = trained.scorer.probabilities(matrix)
    for vector, probabilities in zip(matrix, raw, strict=True):
        why = trained.explain(vector)
        assert np.abs(why.base + why.contributions.sum(axis=0) - probabilities).max() < 1e-9


def test_they_add_up_where_scores_lie_far_apart() -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(600, len(FEATURES)))
    values = (1 + np.sign(matrix[:, 3]) * (np.abs(matrix[:, 3]) > 0.4)).astype(np.int8)
    recipe = Recipe(algorithm=Algorithm.GRADIENT_BOOSTING, trees=200, learning_rate=0.5)
    forest = Forest.of(fit(recipe, matrix, values).estimator)
    scorer, trees = Scorer(forest), Trees.of(forest)
    for vector in matrix[:200]:
        raw = scorer.probabilities(vector.reshape(1, -1))[0]
        why = explain(trees, vector, np.ones(len(FEATURES)), lambda it: scorer.probabilities(it.reshape(1, -1))[0])
        assert raw.max() > 0.999
        assert np.abs(why.base + why.contributions.sum(axis=0) - raw).max() < 1e-9


def test_a_feature_that_decides_alone_gets_all_of_the_contribution() -> None:
    random = np.random.default_rng(0)
    matrix = np.zeros((400, len(FEATURES)))
    matrix[:, 5] = random.uniform(-1, 1, 400)
    values = np.where(matrix[:, 5] > 0, Action.BUY, Action.SELL).astype(np.int8)
    for algorithm in ALGORITHMS:
        trees = Trees.of(Forest.of(fit(Recipe(algorithm=algorithm, trees=20), matrix, values).estimator))
        why = explain(trees, matrix[0], np.ones(len(FEATURES)), lambda it: it)
        others = np.arange(len(FEATURES)) != 5
        assert not why.contributions[others].any()
        assert np.abs(why.contributions[5]).max() > 0.1


def test_the_stated_flip_flips_the_model(trained: Trained) -> None:
    found = 0
    for row in trained.rows[:60]:
        vector = trained.known.matrix[row]
        for threshold in (0.0, 0.4):
            now = action_of(trained.ask(vector), threshold)
            flip = trained.explain(vector).flip(threshold)
            if flip is not None:
                found += 1
                changed = vector.copy()
                changed[FEATURES.index(flip.name)] = flip.value
                assert action_of(trained.ask(changed), threshold) == flip.action != now
                assert flip.was == vector[FEATURES.index(flip.name)]
                np.testing.assert_array_equal(trained.ask(changed), flip.probabilities)
    assert found > 20


def every_single_change(trained: Trained, vector: Array) -> Array:
    """A row for each side of each threshold of the forest, with one feature changed to it."""
    trees, rows = trained.trees, []
    for place in range(len(FEATURES)):
        cuts = np.unique(trees.threshold[trees.feature == place]).astype(np.float32)
        values = np.concatenate([cuts, np.nextafter(cuts, np.float32(np.inf))]).astype(np.float64)
        if WHOLE[place]:
            values = np.array([-1.0, 0.0, 1.0])
        changed = np.tile(vector, (values.size, 1))
        changed[:, place] = values
        rows.append(changed)
    return np.concatenate(rows)


def test_no_smaller_change_of_one_feature_would_do(trained: Trained) -> None:
    for row in trained.rows[:12]:
        vector = trained.known.matrix[row]
        changes = every_single_change(trained, vector)
        answers = trained.calibration.apply(trained.scorer.probabilities(changes))
        for threshold in (0.0, 0.4):
            now = action_of(trained.ask(vector), threshold)
            turned = np.array([action_of(answer, threshold) != now for answer in answers])
            distances = (np.abs(changes - vector) / trained.spread).max(axis=1)
            flip = trained.explain(vector).flip(threshold)
            if flip is None:
                assert not turned.any()
            else:
                assert flip.distance == pytest.approx(distances[turned].min(), rel=1e-6)


def test_a_feature_that_is_one_of_three_flips_to_one_of_three(trained: Trained) -> None:
    named = {name for name, whole in zip(FEATURES, WHOLE, strict=True) if whole}
    assert named == {"trend", "rsi_state", "sma_cross"}
    turns = [trained.explain(trained.known.matrix[row])._turns for row in trained.rows[:20]]
    for turn in turns:
        assert set(turn.value[WHOLE[turn.feature]]) <= {-1.0, 0.0, 1.0}
    # Boosted trees of this market do not ask for them.
    assert trained.trees.is_softmax or any(WHOLE[turn.feature].any() for turn in turns)


def test_a_feature_that_never_moved_in_training_is_no_usual_change(trained: Trained) -> None:
    vector = trained.known.matrix[trained.rows[0]]
    still = explain(trained.trees, vector, np.zeros(len(FEATURES)), trained.ask, trained.calibration.apply)
    assert still.flip(0.0) is None


def test_nothing_flips_what_was_not_decided(trained: Trained) -> None:
    vector = trained.known.matrix[trained.rows[0]]
    why = explain(trained.trees, vector, trained.spread, lambda _: np.full(3, np.nan))
    assert action_of(why.ask(vector), 0.0) == NO_DECISION
    assert why.flip(0.0) is None
