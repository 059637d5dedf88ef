import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.labels import UNKNOWN, Labels, forward_labels
from engine.validation import trainable_rows, walk_forward
from tests.markets import random_walk

SIZES = st.integers(1, 300)
HORIZONS = st.integers(1, 40)
EMBARGOES = st.integers(0, 40)


def labels_of(size: int, horizon: int) -> Labels:
    return forward_labels(random_walk(size), horizon, 0.005)


def complete_rows(size: int, seed: int) -> np.ndarray:
    """A warm-up, and a hole here and there."""
    complete = np.random.default_rng(seed).random(size) > 0.1
    complete[: size // 10] = False
    return complete


@given(SIZES, HORIZONS, EMBARGOES, st.integers(0, 400), st.integers(0, 9))
def test_the_trainable_rows_are_those_whose_label_is_known(size: int, horizon: int, embargo: int, at: int, seed: int):
    labels, complete = labels_of(size, horizon), complete_rows(size, seed)
    expected = [
        row
        for row in range(size)
        if complete[row] and labels.values[row] != UNKNOWN and row + horizon <= at - embargo and row <= at
    ]
    assert trainable_rows(labels, complete, at, embargo).tolist() == expected


@given(SIZES, HORIZONS, EMBARGOES, st.integers(1, 8), st.integers(0, 9))
def test_no_training_label_reaches_the_test_or_its_embargo(
    size: int, horizon: int, embargo: int, folds: int, seed: int
):
    labels, complete = labels_of(size, horizon), complete_rows(size, seed)
    for fold in walk_forward(labels, complete, folds, embargo):
        assert fold.train.size
        assert labels.ends[fold.train].max() < fold.test[0] - embargo


@given(SIZES, HORIZONS, st.integers(1, 8), st.integers(0, 9))
def test_the_tests_are_ordered_and_disjoint(size: int, horizon: int, folds: int, seed: int):
    labels, complete = labels_of(size, horizon), complete_rows(size, seed)
    found = walk_forward(labels, complete, folds)
    tested = np.concatenate([fold.test for fold in found]) if found else np.array([], dtype=int)
    assert (np.diff(tested) > 0).all()
    assert len(found) <= folds
    for fold in found:
        assert (np.diff(fold.train) > 0).all()
        assert fold.train[-1] < fold.test[0]


@given(SIZES, HORIZONS, st.integers(1, 8), st.integers(0, 9))
def test_a_fold_holds_only_complete_rows_with_a_label(size: int, horizon: int, folds: int, seed: int):
    labels, complete = labels_of(size, horizon), complete_rows(size, seed)
    for fold in walk_forward(labels, complete, folds):
        for rows in (fold.train, fold.test):
            assert complete[rows].all()
            assert (labels.values[rows] != UNKNOWN).all()


def test_every_fold_trains_on_all_that_was_known():
    labels, complete = labels_of(600, 5), np.ones(600, dtype=bool)
    folds = walk_forward(labels, complete, 5)
    assert [fold.test.size for fold in folds] == [99] * 5
    assert [fold.train.tolist() for fold in folds] == [list(range(fold.test[0] - 5)) for fold in folds]
    assert folds[-1].test[-1] == 594


def test_a_walk_forward_without_folds_is_refused():
    with pytest.raises(ValueError, match="at least one fold"):
        walk_forward(labels_of(10, 1), np.ones(10, dtype=bool), 0)
