from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.promotion import Case, history
from learning.promotion.trial import LARGEST_LOSS, PROMOTION_EVIDENCE, apart, bounded, first_won, fortunes, trial
from tests.markets import Array


def said(*rows: tuple[float, float, float]) -> Array:
    return np.array(rows)


def places(count: int, step: int = 1) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * step


def test_only_snapshots_whose_label_windows_do_not_overlap_are_counted() -> None:
    assert apart(places(12), 5).tolist() == [0, 5, 10]
    assert apart(np.array([3, 4, 9, 10, 20]), 5).tolist() == [0, 2, 4]
    assert apart(places(3), 1).tolist() == [0, 1, 2]
    assert apart(places(0), 5).size == 0


def test_the_same_answers_prove_nothing() -> None:
    same = np.tile(said((0.2, 0.5, 0.3)), (500, 1))
    found = trial(same, same, np.zeros(500, dtype=np.int8), places(500), 1)
    assert (found.counted, found.gain, found.evidence, found.is_won) == (500, 0.0, 1.0, False)


def test_no_snapshot_is_no_evidence() -> None:
    nobody = np.empty((0, 3))
    found = trial(nobody, nobody, np.empty(0, dtype=np.int8), places(0), 5)
    assert (found.counted, found.evidence, found.is_won) == (0, 1.0, False)
    assert first_won(nobody, nobody, np.empty(0, dtype=np.int8), places(0), 5) is None


def test_a_challenger_that_is_always_right_wins_and_one_that_is_always_wrong_does_not() -> None:
    champion, challenger = (np.tile(said(row), (300, 1)) for row in ((0.3, 0.4, 0.3), (0.2, 0.2, 0.6)))
    right, wrong = (np.full(300, truth, dtype=np.int8) for truth in (2, 0))
    won = trial(champion, challenger, right, places(300), 5)
    assert won.counted == 60
    assert won.gain == pytest.approx(np.log(2.0))
    assert won.evidence > PROMOTION_EVIDENCE
    assert trial(champion, challenger, wrong, places(300), 5).evidence < 0.01
    place = first_won(champion, challenger, right, places(300), 5)
    assert place is not None
    assert trial(champion[: place + 1], challenger[: place + 1], right[: place + 1], places(place + 1), 5).is_won
    assert not trial(champion[:place], challenger[:place], right[:place], places(place), 5).is_won


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 4)), min_size=1, max_size=50),
)
def test_a_fortune_is_never_lost_and_no_snapshot_costs_more_than_its_share(bets: list[tuple[float, float]]) -> None:
    ranges = np.array([reach for _, reach in bets])
    course = fortunes(np.array([share for share, _ in bets]) * ranges, ranges)
    assert (course > 0).all()
    before = np.concatenate([[1.0], course[:-1]])
    assert (course >= before * (1 - LARGEST_LOSS) - 1e-12).all()


@given(st.floats(0.05, 0.9), st.floats(0.05, 0.9), st.integers(1, 6))
def test_where_the_champion_is_not_worse_the_expected_fortune_does_not_grow(
    one: float, other: float, snapshots: int
) -> None:
    """All outcomes of a few snapshots, weighted as a champion who is right says."""
    champion, challenger = bounded(said((one, 1 - one, 0.0))), bounded(said((other, 1 - other, 0.0)))
    saved = np.log(challenger / champion)[0]
    expected = float(champion[0] @ saved)
    assert expected <= 1e-12  # Gibbs: nobody saves anything against the truth.
    growth = [fortunes(np.full(1, gain), np.full(1, np.abs(saved).max()))[-1] for gain in saved]
    assert float(champion[0] @ growth) <= 1 + 1e-12
    assert snapshots >= 1


def test_one_bold_mistake_does_not_cost_more_than_the_floor_allows() -> None:
    certain = bounded(said((1.0, 0.0, 0.0)))
    assert certain.sum() == pytest.approx(1.0)
    assert certain.min() > 0.019
    assert exp(float(np.log(certain).min())) == pytest.approx(certain.min())


def test_equals_are_seldom_promoted_and_a_better_one_often() -> None:
    """The short form of `benchmarks/promotion.py`, whose 500 histories are in MDs/DECISIONS.md."""
    equal = [history(Case("equal", 1.0, 1.0), 1500, seed) for seed in range(40)]
    assert sum(it.promoted is not None for it in equal) <= 4
    # What is usually done promotes most of them.
    assert sum(it.repeated for it in equal) >= 16
    better = [history(Case("better", 4.0, 0.3), 2500, seed) for seed in range(12)]
    assert sum(it.promoted is not None for it in better) >= 9
    worse = [history(Case("worse", 1.0, 2.0), 1500, seed) for seed in range(20)]
    assert not any(it.promoted is not None for it in worse)
