from math import inf, log

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from engine.labels import UNKNOWN
from engine.snapshot import market_frame
from learning.scores.walk_score import effective_rows, score, wilson
from learning.training.recipes import Recipe
from learning.training.walk_forward import out_of_sample_probabilities, score_walk
from tests.markets import Array, made_candles

RECIPE = Recipe(trees=8)


def answers(rows: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).dirichlet([1.0, 1.0, 1.0], rows)


def truth(rows: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 3, rows).astype(np.int8)


def test_the_scores_are_those_of_scikit_learn():
    values, given, known_before = truth(500), answers(500), answers(500, 1)
    found = score(given, known_before, values, horizon=5)
    guess = given.argmax(axis=1)
    assert found.accuracy == metrics.accuracy_score(values, guess)
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(values, guess))
    assert found.log_loss == pytest.approx(metrics.log_loss(values, given))
    assert found.majority_accuracy == metrics.accuracy_score(values, known_before.argmax(axis=1))
    assert found.majority_log_loss == pytest.approx(metrics.log_loss(values, known_before))
    assert np.array(found.confusion).tolist() == metrics.confusion_matrix(values, guess).tolist()
    assert found.class_counts == tuple(np.bincount(values))
    assert (found.coin_accuracy, found.coin_log_loss) == (1 / 3, log(3))


def test_rows_without_an_answer_or_with_an_open_label_do_not_count():
    values, given, known_before = truth(50), answers(50), answers(50, 1)
    expected = score(given[10:40], known_before[10:40], values[10:40], horizon=5)
    given[:10] = np.nan
    values[40:] = UNKNOWN
    assert score(given, known_before, values, horizon=5) == expected


def test_nothing_to_count_is_refused():
    with pytest.raises(ValueError, match="no prediction whose label has closed"):
        score(answers(5), answers(5), np.full(5, UNKNOWN, dtype=np.int8), horizon=5)


def test_a_class_that_did_not_occur_does_not_balance():
    given = np.array([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0]])
    assert score(given, given, np.array([0, 2, 2], dtype=np.int8), horizon=1).balanced_accuracy == 0.75


def test_a_certain_mistake_costs_much_and_not_everything():
    given = np.array([[1.0, 0.0, 0.0]])
    assert 10 < score(given, given, np.array([2], dtype=np.int8), horizon=1).log_loss < inf


@pytest.mark.parametrize(("right", "rows"), [(0, 10), (3, 10), (50, 100), (100, 100)])
def test_the_interval_is_wilsons(right: int, rows: int):
    expected = stats.binomtest(right, rows).proportion_ci(method="wilson")
    assert wilson(right / rows, rows) == pytest.approx((expected.low, expected.high))


def test_overlapping_labels_widen_the_interval():
    values, given = truth(500), answers(500)
    one, five = (score(given, given, values, horizon) for horizon in (1, 5))
    assert 250 < one.effective_rows <= 500
    assert five.effective_rows == 100
    assert five.accuracy_low < one.accuracy_low < one.accuracy < one.accuracy_high < five.accuracy_high


def test_spells_that_outlast_a_label_are_worth_fewer_rows():
    random = np.random.default_rng(0).random(4000)
    by_chance, in_spells = random < 0.5, np.repeat(random[:10] < 0.5, 400)
    assert 2000 < effective_rows(by_chance, 1) <= 4000
    assert effective_rows(in_spells, 1) < 300
    assert effective_rows(in_spells[:190], 1) == 190
    assert effective_rows(np.ones(4000, dtype=bool), 1) == 4000


def test_the_majority_is_that_of_the_training_rows():
    """In a market that turns round, the majority that was known before is wrong ever after."""
    close = 100 * np.exp(np.concatenate([np.linspace(0, 1, 300), np.linspace(1, 0, 300)]))
    close *= np.exp(np.random.default_rng(0).normal(0, 0.005, 600))
    market = market_frame(made_candles(close))
    walk = out_of_sample_probabilities(RECIPE, market, start=300, retrain_every=0)
    found = score_walk(RECIPE, market, walk)
    sell, hold, buy = found.class_counts
    assert sell > hold + buy
    assert found.majority_accuracy == pytest.approx(buy / found.rows)
