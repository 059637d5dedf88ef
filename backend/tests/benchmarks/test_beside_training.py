"""What the benchmark says of known times. Nothing is timed here."""

from threading import Event

import pytest

from benchmarks.beside_training import Phase, beside, judged, row
from benchmarks.known_market import BenchmarkError


def phases(idle: float, training: float, trained: int = 2) -> list[Phase]:
    first = [Phase("nothing", [0.010, idle], 0), Phase("training", [0.010, training], trained)]
    return [*first, Phase("nothing", [idle, idle], 0), Phase("training", [training, training], 2)]


@pytest.mark.parametrize(("training", "ratio", "met"), [(0.020, 1.0, True), (0.025, 1.25, True), (0.026, 1.3, False)])
def test_all_turns_beside_training_are_judged_by_all_beside_nothing(training: float, ratio: float, met: bool) -> None:
    verdict = judged(phases(0.020, training))
    assert verdict.ratio == pytest.approx(ratio)
    assert verdict.met is met
    assert ("NOT met" in str(verdict)) is not met


def test_a_phase_in_which_nothing_was_trained_proves_nothing() -> None:
    with pytest.raises(BenchmarkError, match="before its first training"):
        judged(phases(0.020, 0.020, trained=0))


def test_a_row_tells_median_tail_and_how_much_was_trained() -> None:
    turns = [0.001 * number for number in range(1, 102)]
    assert row(Phase("training", turns, 3)).split() == ["training", "51.0", "100.0", "101.0", "101", "3"]
    assert row(Phase("nothing", turns, 0)).split()[-1] == "-"


def test_it_is_trained_again_and_again_until_the_phase_is_over() -> None:
    third = Event()
    counted: list[int] = []

    def train() -> int:
        counted.append(len(counted))
        if len(counted) >= 3:
            third.set()
        return counted[-1]

    with beside(train) as done:
        assert third.wait(10)
    assert done == counted
    assert len(done) >= 3


def test_a_training_that_fails_is_no_quiet_phase() -> None:
    def train() -> None:
        raise ZeroDivisionError("no rows")

    with pytest.raises(BenchmarkError, match="training failed: no rows"), beside(train):
        pass
