import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.labels import UNKNOWN, forward_labels
from engine.orders import Action
from tests.markets import Array, closes, random_walk


def naive_label(close: Array, row: int, horizon: int, threshold: float) -> int:
    if row + horizon >= close.size:
        return UNKNOWN
    move = close[row + horizon] / close[row] - 1
    if move > threshold:
        return Action.BUY
    return Action.SELL if move < -threshold else Action.HOLD


@given(closes(), st.integers(1, 30), st.sampled_from([0.0, 0.005, 0.05]))
def test_a_label_is_the_move_over_the_horizon(close: Array, horizon: int, threshold: float):
    labels = forward_labels(close, horizon, threshold)
    expected = [naive_label(close, row, horizon, threshold) for row in range(close.size)]
    assert labels.values.tolist() == expected
    assert (labels.ends - np.arange(close.size) == horizon).all()


@given(closes(), st.integers(1, 150))
def test_the_last_labels_are_unknown(close: Array, horizon: int):
    values = forward_labels(close, horizon, 0.005).values
    assert (values[max(close.size - horizon, 0) :] == UNKNOWN).all()
    assert (values[: max(close.size - horizon, 0)] != UNKNOWN).all()


def test_a_label_does_not_look_past_its_end():
    close = random_walk(300)
    labels = forward_labels(close, 7, 0.005)
    for row in (0, 100, 292):
        later = close.copy()
        later[labels.ends[row] + 1 :] *= 3
        assert forward_labels(later, 7, 0.005).values[row] == labels.values[row]


def test_a_move_of_exactly_the_threshold_is_hold():
    assert forward_labels(np.array([2.0, 3.0]), 1, 0.5).values[0] == Action.HOLD
    assert forward_labels(np.array([2.0, 1.0]), 1, 0.5).values[0] == Action.HOLD


def test_each_row_may_have_its_own_threshold():
    close = np.array([100.0, 101.0, 102.0, 103.0])
    assert forward_labels(close, 1, np.array([0.0, 0.5, 0.0, 0.0])).values.tolist() == [2, 1, 2, UNKNOWN]


@pytest.mark.parametrize(("horizon", "threshold"), [(0, 0.005), (-1, 0.005), (5, -0.1), (5, np.array([0.1, -0.1]))])
def test_labels_without_a_meaning_are_refused(horizon: int, threshold: float | Array):
    with pytest.raises(ValueError, match=r"must not be negative|at least one candle"):
        forward_labels(np.array([1.0, 2.0]), horizon, threshold)


def test_no_candles_have_no_labels():
    assert forward_labels(np.array([]), 5, 0.005).values.size == 0
