"""A short run of the benchmark: it runs, and the engines agree. Nothing is timed here."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import candles
from benchmarks.engines.common import CASES, Outcome
from benchmarks.measure import BenchmarkError, run
from benchmarks.sma_cross import (
    CHECKED_TOLERANCES,
    PHOTON,
    TOLERANCES,
    VECTORBT,
    Course,
    Tolerance,
    Verdict,
    command_options,
    compare,
    compared,
)

ROWS = 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmark")


def course(folder: Path, case: str, peers: str | None = None) -> Course:
    csv = candles.write(folder, ROWS, volatile=CASES[case].volatile)
    return Course(csv, None if peers is None else Path(peers), case)


def test_the_command_plays_a_case_with_its_options(folder: Path) -> None:
    answer = course(folder, "volatile").command("--json").answer
    reasons = {trade["reason"] for trade in answer["trades"]}
    assert reasons == {"signal", "stop_loss", "take_profit"}
    assert (answer["candles"], answer["initial_balance"]) == (ROWS, float(CASES["volatile"].cash))


def test_a_fixed_size_has_no_levels(folder: Path) -> None:
    answer = course(folder, "fixed").command("--json").answer
    assert {(trade["reason"], trade["quantity"]) for trade in answer["trades"]} == {("signal", 0.01)}


@pytest.mark.parametrize("case", CASES)
def test_the_engines_agree(folder: Path, case: str) -> None:
    peers = os.environ.get("PHOTON_PEERS_PYTHON")
    if not peers:
        pytest.skip("PHOTON_PEERS_PYTHON names the python that has benchmarks/peers.txt")
    compared(course(folder, case, peers), CHECKED_TOLERANCES[case])


def test_every_case_is_compared_within_a_tolerance() -> None:
    assert TOLERANCES.keys() == CHECKED_TOLERANCES.keys() == CASES.keys()


def test_a_warm_round_comes_to_the_same_end_as_the_command(folder: Path) -> None:
    played = course(folder, "equity")
    answer = played.script(PHOTON, "warm", "2").answer
    assert [list(lap) for lap in answer["stages"]] == [["indicators to statistics", "books"]] * 2
    assert Outcome(answer["entries"], answer["closed"], answer["final"]) == played.outcome(PHOTON)


@pytest.mark.parametrize(("entries", "final"), [(900, 10_000.0), (1000, 10_600.0)])
def test_an_engine_that_did_something_else_is_an_error(entries: int, final: float) -> None:
    ours, theirs = Outcome(1000, 1000, 10_000.0), Outcome(entries, entries, final)
    with pytest.raises(BenchmarkError, match="did not do the same"):
        compare({PHOTON: ours, VECTORBT: theirs}, Tolerance(0.05, 0.05))


@pytest.mark.parametrize(
    ("value", "at_least", "met"), [(8.0, True, True), (7.9, True, False), (8.0, False, True), (8.1, False, False)]
)
def test_one_missed_target_decides(value: float, at_least: bool, met: bool, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = Verdict()
    verdict.line("a figure", value, 8.0, at_least)
    verdict.line("another", 9.0, 8.0)
    assert verdict.met is met
    assert ("NOT met" in capsys.readouterr().out) is not met


def test_the_size_of_an_entry_is_what_the_risk_per_trade_allows() -> None:
    assert CASES["equity"].fraction == pytest.approx(0.2 * 1.001 * 1.0001)
    assert "quantity" not in command_options(CASES["equity"])


@pytest.mark.parametrize("volatile", [False, True])
def test_the_same_seed_makes_the_same_file(tmp_path: Path, volatile: bool) -> None:
    first, again = (candles.write(tmp_path / name, 2000, volatile=volatile).read_bytes() for name in ("first", "again"))
    assert first == again
    assert candles.write(tmp_path / "other", 2000, 8, volatile).read_bytes() != first


def test_a_volatile_series_moves_so_many_times_as_much(tmp_path: Path) -> None:
    calm, volatile = (
        candles.pd.read_csv(candles.write(tmp_path, 5000, volatile=moves))["close"] for moves in (False, True)
    )
    assert volatile.pct_change().std() / calm.pct_change().std() == pytest.approx(candles.VOLATILE, rel=0.05)


def test_a_failed_process_is_an_error(folder: Path) -> None:
    with pytest.raises(BenchmarkError, match="ended with"):
        course(folder, "fixed", sys.executable).script(VECTORBT, "sideways")


def test_the_peak_is_that_of_the_measured_process_alone(tmp_path: Path) -> None:
    occupied = np.ones(300 * 2**17)
    peak = run([sys.executable, "-c", "pass"], tmp_path, {}).peak_megabytes
    assert 0 < peak < 100 < occupied.nbytes / 2**20
