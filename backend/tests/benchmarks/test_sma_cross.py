"""A short run of the benchmark: it runs, and the engines agree. Nothing is timed here."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks import candles
from benchmarks.measure import BenchmarkError, Run
from benchmarks.sma_cross import PHOTON, Course, cold, compare

ROWS = 50_000


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return candles.write(tmp_path_factory.mktemp("benchmark"), ROWS)


def test_photon_and_the_command_come_to_the_same_end(csv: Path) -> None:
    runs = cold(Course(csv, None), rounds=1)
    answer = runs[PHOTON][0].answer
    assert answer["entries"] > 100
    assert answer["entries"] - answer["closed"] in (0, 1)


def test_the_engines_agree(csv: Path) -> None:
    peers = os.environ.get("PHOTON_PEERS_PYTHON")
    if not peers:
        pytest.skip("PHOTON_PEERS_PYTHON names the python that has benchmarks/peers.txt")
    compare(cold(Course(csv, Path(peers)), rounds=1))


def test_a_warm_round_tells_its_stages(csv: Path) -> None:
    stages = Course(csv, None).script(PHOTON, "warm", "2").answer["stages"]
    assert [list(lap) for lap in stages] == [["indicators", "signals", "simulation", "statistics", "books"]] * 2


def answered(entries: int, final: float) -> Run:
    return Run(1.0, 1.0, 1.0, f'{{"entries": {entries}, "closed": {entries}, "final": {final}}}')


@pytest.mark.parametrize(("entries", "final"), [(900, 10_000.0), (1000, 10_060.0)])
def test_an_engine_that_did_something_else_is_told(entries: int, final: float) -> None:
    ours, theirs = answered(1000, 10_000.0), answered(entries, final)
    with pytest.raises(BenchmarkError, match="did not do the same"):
        compare({PHOTON: [ours], "vectorbt": [theirs]})


def test_the_same_seed_makes_the_same_file(tmp_path: Path) -> None:
    first, again = (candles.write(tmp_path / name, 2000).read_bytes() for name in ("first", "again"))
    assert first == again
    assert candles.write(tmp_path / "other", 2000, seed=8).read_bytes() != first


def test_a_failed_process_is_told(csv: Path) -> None:
    with pytest.raises(BenchmarkError, match="ended with"):
        Course(csv, Path(sys.executable)).script("vectorbt", "sideways")
