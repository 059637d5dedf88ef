from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.promotion import Case, history
from learning.promotion.e_values import (
    DEGRADATION_E_VALUE,
    LARGEST_DECREASE,
    PROMOTION_E_VALUE,
    SequentialTest,
    compare,
    e_process,
    first_above,
    floored,
    miscalibration,
    non_overlapping,
    worse_than_frequencies,
)
from tests.markets import Array

SHARES = np.array([0.3, 0.4, 0.3])


def outcomes(probabilities: Array, seed: int = 0) -> np.ndarray:
    """What happens if the probabilities are right."""
    draws = np.random.default_rng(seed).random(len(probabilities))
    return (draws[:, None] > probabilities.cumsum(axis=1)).sum(axis=1).astype(np.int8)


def rows(*rows: tuple[float, float, float]) -> Array:
    return np.array(rows)


def places(count: int, step: int = 1) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * step


def test_only_snapshots_whose_label_windows_do_not_overlap_are_counted() -> None:
    assert non_overlapping(places(12), 5).tolist() == [0, 5, 10]
    assert non_overlapping(np.array([3, 4, 9, 10, 20]), 5).tolist() == [0, 2, 4]
    assert non_overlapping(places(3), 1).tolist() == [0, 1, 2]
    assert non_overlapping(places(0), 5).size == 0


def test_equal_predictions_keep_the_e_value_at_one() -> None:
    same = np.tile(rows((0.2, 0.5, 0.3)), (500, 1))
    found = compare(same, same, np.zeros(500, dtype=np.int8), places(500), 1)
    assert (found.counted, found.gain, found.e_value) == (500, 0.0, 1.0)


def test_without_snapshots_the_e_value_is_one() -> None:
    none = np.empty((0, 3))
    found = compare(none, none, np.empty(0, dtype=np.int8), places(0), 5)
    assert (found.counted, found.e_value) == (0, 1.0)
    assert first_above(none, none, np.empty(0, dtype=np.int8), places(0), 5) is None


def test_a_challenger_that_is_always_right_passes_and_one_that_is_always_wrong_does_not() -> None:
    champion, challenger = (np.tile(rows(row), (300, 1)) for row in ((0.3, 0.4, 0.3), (0.2, 0.2, 0.6)))
    right, wrong = (np.full(300, truth, dtype=np.int8) for truth in (2, 0))
    won = compare(champion, challenger, right, places(300), 5)
    assert won.counted == 60
    assert won.gain == pytest.approx(np.log(2.0))
    assert won.e_value > PROMOTION_E_VALUE
    assert compare(champion, challenger, wrong, places(300), 5).e_value < 0.01
    place = first_above(champion, challenger, right, places(300), 5)
    assert place is not None
    assert (
        compare(champion[: place + 1], challenger[: place + 1], right[: place + 1], places(place + 1), 5).e_value
        >= PROMOTION_E_VALUE
    )
    assert compare(champion[:place], challenger[:place], right[:place], places(place), 5).e_value < PROMOTION_E_VALUE


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 4)), min_size=1, max_size=50),
)
def test_the_e_process_stays_positive_and_no_snapshot_costs_more_than_the_largest_decrease(
    gains: list[tuple[float, float]],
) -> None:
    ranges = np.array([reach for _, reach in gains])
    course = e_process(np.array([share for share, _ in gains]) * ranges, ranges)
    assert (course > 0).all()
    before = np.concatenate([[1.0], course[:-1]])
    assert (course >= before * (1 - LARGEST_DECREASE) - 1e-12).all()


@given(st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_where_the_champion_is_not_worse_the_expected_e_value_does_not_grow(one: float, other: float) -> None:
    """Over all outcomes, weighted by the probabilities of a champion that is right."""
    champion, challenger = floored(rows((one, 1 - one, 0.0))), floored(rows((other, 1 - other, 0.0)))
    saved = np.log(challenger / champion)[0]
    expected = float(champion[0] @ saved)
    assert expected <= 1e-12  # Gibbs' inequality.
    growth = [e_process(np.full(1, gain), np.full(1, np.abs(saved).max()))[-1] for gain in saved]
    assert float(champion[0] @ growth) <= 1 + 1e-12


def test_one_confident_mistake_costs_no_more_than_the_floor_allows() -> None:
    certain = floored(rows((1.0, 0.0, 0.0)))
    assert certain.sum() == pytest.approx(1.0)
    assert certain.min() > 0.019
    assert exp(float(np.log(certain).min())) == pytest.approx(certain.min())


def test_equals_are_seldom_promoted_and_a_better_one_often() -> None:
    """The short form of `benchmarks/promotion.py`, whose 500 histories are in MDs/DECISIONS.md."""
    equal = [history(Case("equal", 1.0, 1.0), 1500, seed) for seed in range(40)]
    assert sum(it.promoted is not None for it in equal) <= 4
    # Repeated t-tests promote most of them.
    assert sum(it.repeated for it in equal) >= 16
    better = [history(Case("better", 4.0, 0.3), 2500, seed) for seed in range(12)]
    assert sum(it.promoted is not None for it in better) >= 9
    worse = [history(Case("worse", 1.0, 2.0), 1500, seed) for seed in range(20)]
    assert not any(it.promoted is not None for it in worse)


def test_a_calibrated_champion_does_not_fail_a_test() -> None:
    answers = np.random.default_rng(0).dirichlet([3.0, 4.0, 3.0], 3000)
    failed = [
        miscalibration(answers, outcomes(answers, seed), np.arange(3000), 5).e_value >= DEGRADATION_E_VALUE
        or worse_than_frequencies(answers, SHARES, outcomes(answers, seed), np.arange(3000), 5).e_value
        >= DEGRADATION_E_VALUE
        for seed in range(20)
    ]
    assert not any(failed)


def test_an_overconfident_champion_fails_the_calibration_test() -> None:
    truth = np.random.default_rng(0).dirichlet([3.0, 4.0, 3.0], 3000)
    bold = truth**4 / (truth**4).sum(axis=1, keepdims=True)
    found = miscalibration(bold, outcomes(truth), np.arange(3000), 5)
    assert found.e_value >= DEGRADATION_E_VALUE
    assert found.gain > 0.1


def test_a_champion_worse_than_the_class_frequencies_fails() -> None:
    random = np.random.default_rng(0)
    noise = random.dirichlet([3.0, 3.0, 3.0], 3000)
    truth = outcomes(np.tile(SHARES, (3000, 1)))
    found = worse_than_frequencies(noise, SHARES, truth, np.arange(3000), 5)
    assert found.e_value >= DEGRADATION_E_VALUE
    assert found.gain > 0


def test_a_champion_without_snapshots_fails_no_test() -> None:
    empty, truth = np.empty((0, 3)), np.empty(0, dtype=np.int8)
    assert miscalibration(empty, truth, np.empty(0, dtype=np.int64), 5) == SequentialTest(0, 0.0, 1.0)
    assert worse_than_frequencies(empty, SHARES, truth, np.empty(0, dtype=np.int64), 5) == SequentialTest(0, 0.0, 1.0)
