from math import log, sqrt

import numpy as np
import pytest
from sklearn import metrics

from engine.orders import Action
from learning.scores.measures import (
    LOOKBACK,
    Interval,
    Predictions,
    Resampling,
    briers,
    log_losses,
    mean_interval,
    measures,
)
from tests.markets import Array

ROWS = 600


def answers(rows: int = ROWS, skill: float = 1.0, seed: int = 0, folds: int = 1, spread: int = 1000) -> Predictions:
    """Predictions that lean towards what happened, to rows so far apart that every pair counts."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, rows).astype(np.int8)
    weights = random.gamma(1.0, size=(rows, 3)) + skill * np.eye(3)[truth]
    fold = np.arange(rows) * folds // rows
    return Predictions.most_probable(
        np.arange(rows) * spread, weights / weights.sum(axis=1, keepdims=True), truth, fold
    )


def of(found: Predictions, horizon: int = 5) -> Resampling:
    return Resampling(found.fold, horizon, seed=1, rounds=100)


def test_the_figures_are_those_of_scikit_learn():
    given = answers()
    found, guess = measures(given, of(given)), given.probabilities.argmax(axis=1)
    assert found.accuracy.value == metrics.accuracy_score(given.truth, guess)
    assert found.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(given.truth, guess))
    assert found.log_loss.value == pytest.approx(metrics.log_loss(given.truth, given.probabilities))
    brier = np.square(given.probabilities - np.eye(3)[given.truth]).sum(axis=1).mean()
    assert found.brier.value == pytest.approx(brier)
    assert found.auc is not None
    assert found.auc.value == pytest.approx(metrics.roc_auc_score(given.truth, given.probabilities, multi_class="ovr"))
    moved = given.truth != Action.HOLD
    odds = given.probabilities[moved, Action.BUY] / given.probabilities[moved][:, [0, 2]].sum(axis=1)
    assert found.direction_auc is not None
    assert found.direction_auc.value == pytest.approx(metrics.roc_auc_score(given.truth[moved] == Action.BUY, odds))


def test_two_models_are_not_compared_with_each_other():
    given = answers(folds=2)
    shifted = given.probabilities.copy()
    shifted[300:] = 0.9 * shifted[300:] + 0.1 * np.eye(3)[Action.BUY]
    both = [
        measures(one, of(one)).auc
        for one in (given, Predictions(given.row, shifted, given.right, given.truth, given.fold))
    ]
    assert both[0] == both[1]
    halves = [slice(0, 300), slice(300, 600)]
    areas = [metrics.roc_auc_score(given.truth[at], given.probabilities[at], multi_class="ovr") for at in halves]
    assert both[0] is not None
    assert both[0].value == pytest.approx(np.mean(areas))


def test_only_rows_that_share_no_candle_are_compared():
    given, horizon = answers(rows=200, spread=1), 5
    found = measures(given, of(given, horizon)).auc
    areas = []
    for action in Action:
        score, happened = given.probabilities[:, action], given.truth == action
        pairs = [
            float(score[hit] > score[miss])
            for hit in np.flatnonzero(happened)
            for miss in np.flatnonzero(~happened)
            if abs(hit - miss) > horizon + LOOKBACK
        ]
        areas.append(np.mean(pairs))
    assert found is not None
    assert found.value == pytest.approx(np.mean(areas))


def test_without_two_classes_far_apart_there_is_no_area():
    given = answers(rows=40, spread=1)
    found = measures(given, of(given))
    assert (found.auc, found.direction_auc) == (None, None)
    still = Predictions.most_probable(
        np.arange(300), np.full((300, 3), 1 / 3), np.ones(300, dtype=np.int8), np.zeros(300, int)
    )
    found = measures(still, of(still))
    assert (found.auc, found.direction_auc) == (None, None)
    assert found.balanced_accuracy.value == 0.0


def test_ties_are_half_right():
    given = answers()
    constant = Predictions.most_probable(given.row, np.full((ROWS, 3), 1 / 3), given.truth, given.fold)
    found = measures(constant, of(constant)).auc
    assert found == Interval(0.5, 0.5, 0.5)


def test_what_nobody_knows_costs_log_three():
    given = answers()
    coin = Predictions(given.row, np.full((ROWS, 3), 1 / 3), np.full(ROWS, 1 / 3), given.truth, given.fold)
    found = measures(coin, of(coin))
    assert found.accuracy.value == pytest.approx(1 / 3)
    assert found.balanced_accuracy.value == pytest.approx(1 / 3)
    assert found.log_loss.value == pytest.approx(log(3))
    assert found.brier.value == pytest.approx(2 / 3)
    assert log_losses(given).mean() < log(3)
    assert briers(given).max() <= 2


def test_independent_rows_have_the_interval_of_the_textbook():
    values = np.random.default_rng(0).normal(3.0, 2.0, 4000)
    found = mean_interval(values, Resampling(np.zeros(4000, int), 1, seed=0))
    # A weighted sum, whose order of terms the processor chooses.
    assert found.value == pytest.approx(values.mean(), rel=1e-12)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 2.0 / sqrt(4000), rel=0.15)


def test_spells_widen_the_interval():
    random = np.random.default_rng(0)
    spells = np.repeat(random.normal(size=200), 20)
    shuffled = random.permutation(spells)
    wide, narrow = (mean_interval(one, Resampling(np.zeros(4000, int), 20, seed=0)) for one in (spells, shuffled))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """Means over 10 candles of noise: neighbours share nine of them."""
    held = 0
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(size=1010)
        overlapping: Array = np.convolve(noise, np.ones(10), mode="valid")
        held += mean_interval(overlapping, Resampling(np.zeros(1001, int), 10, seed, rounds=200)).holds(0.0)
    assert held >= 85


def test_each_round_holds_as_many_rows_of_each_fold():
    fold = np.repeat([0, 1, 3], [10, 333, 57])
    drawn = np.vstack(list(Resampling(fold, 5, seed=0, rounds=50).weights()))
    assert drawn.shape == (51, 400)
    assert (drawn[0] == 1).all()
    for number, size in ((0, 10), (1, 333), (3, 57)):
        assert (drawn[:, fold == number].sum(axis=1) == size).all()


def test_the_same_seed_draws_the_same_histories():
    given = answers()
    assert measures(given, of(given)) == measures(given, of(given))
    other = Resampling(given.fold, 5, seed=2, rounds=100)
    assert measures(given, of(given)) != measures(given, other)


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_handful_of_rows_has_figures_too(rows: int):
    given = answers(rows)
    found = measures(given, of(given))
    assert 0 <= found.accuracy.low <= found.accuracy.value <= found.accuracy.high <= 1
