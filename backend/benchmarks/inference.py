"""Models at work beside scikit-learn: one row, a million rows, the same bits, and answers while a model is trained."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from time import perf_counter, process_time, sleep, thread_time

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd

from benchmarks.candles import PROJECT
from engine.features import feature_matrix
from engine.indicators import Array
from engine.snapshot import market_frame
from learning.training.examples import examples, rows_known
from learning.training.fit import TrainedModel, fit
from learning.training.process import train_in_process
from learning.training.recipes import Algorithm, Recipe
from learning.training.train import train_and_score
from learning.trees.artefacts import Scorer, to_onnx

TRAINED, ROWS, SINGLE = 5_000, 1_000_000, 20_000
TARGET_P50, TARGET_P99, TARGET_RATIO = 100.0, 1000.0, 2.0
BEAT_SECONDS = 0.005


def hourly() -> pd.DataFrame:
    folder = Path(os.environ.get("PHOTON_TEST_DATA") or PROJECT.parent / "shared" / "data")
    real = folder / "BTCUSDT_1h.csv"
    path = real if real.is_file() else PROJECT / "data" / "EURUSD_1h.csv"
    return pd.read_csv(path, index_col="timestamp", parse_dates=True).tail(TRAINED)


def drawn(matrix: Array, rows: int) -> Array:
    """Rows whose features are each those of some candle."""
    random = np.random.default_rng(3)
    return np.take_along_axis(matrix, random.integers(0, len(matrix), (rows, matrix.shape[1])), axis=0)


def one_by_one(ask: Callable[[Array], object], matrix: Array) -> tuple[float, float, float]:
    """Microseconds of a single row: the median, the 99th percentile, and the latter of the processor's time alone."""
    seconds, busy = [], []
    for row in range(len(matrix)):
        one = matrix[row : row + 1]
        began, worked = perf_counter(), thread_time()
        ask(one)
        busy.append(thread_time() - worked)
        seconds.append(perf_counter() - began)
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1e6
    return float(p50), float(p99), float(np.quantile(busy, 0.99) * 1e6)


def processor(ask: Callable[[Array], object], matrix: Array) -> float:
    began = process_time()
    ask(matrix)
    return process_time() - began


def compare(recipe: Recipe, candles: pd.DataFrame, rows: int, rounds: int) -> None:
    known = examples(recipe, market_frame(candles))
    train = rows_known(recipe, known, len(candles) - 1)
    model = fit(recipe, known.matrix[train], known.labels.values[train])
    artefact = to_onnx(model.scorer.forest)
    began = perf_counter()
    scorer = Scorer.load(artefact)
    loaded = perf_counter() - began
    matrix = drawn(known.matrix[train], max(rows, SINGLE))
    size = f"{len(artefact) / 2**20:.2f} MB, loaded in {loaded:.3f} s"
    print(f"\n{recipe.algorithm.value}: {train.size} rows learned, {size}")
    _single(scorer, model, matrix)
    _million(scorer, model, matrix[:rows], rounds)
    everything = scorer.probabilities(matrix[:rows])
    singles = np.vstack([scorer.probabilities(matrix[row : row + 1]) for row in range(2000)])
    print(f"  the same bits: one row and {rows:,} {'yes' if np.array_equal(singles, everything[:2000]) else 'NO'}")
    print(f"  largest difference to scikit-learn: {difference(everything, model, matrix[:rows]):.1e}")


def _single(scorer: Scorer, model: TrainedModel, matrix: Array) -> None:
    one_by_one(scorer.probabilities, matrix[:500])
    p50, p99, busy = one_by_one(scorer.probabilities, matrix[:SINGLE])
    own50, own99, own_busy = one_by_one(model.library_probabilities, matrix[:300])
    met = "met" if p50 < TARGET_P50 and p99 < TARGET_P99 else "NOT met"
    print("  one row, microseconds p50 / p99 (p99 of processor time, which other work on the machine does not touch):")
    print(f"    Photon {p50:,.0f} / {p99:,.0f} ({busy:,.0f}), target {TARGET_P50:.0f} / {TARGET_P99:.0f}: {met}")
    print(f"    scikit-learn {own50:,.0f} / {own99:,.0f} ({own_busy:,.0f})")


def _million(scorer: Scorer, model: TrainedModel, matrix: Array, rounds: int) -> None:
    """Processor seconds, one thread each, in turns."""
    pairs = [
        (processor(scorer.probabilities, matrix), processor(model.library_probabilities, matrix)) for _ in range(rounds)
    ]
    ratio = float(np.median([own / library for own, library in pairs]))
    own, library = (float(np.median([pair[place] for pair in pairs])) for place in (0, 1))
    met = "met" if ratio <= TARGET_RATIO else "NOT met"
    print(
        f"  {len(matrix):,} rows, CPU s: Photon {own:.2f}, scikit-learn {library:.2f}: "
        f"{ratio:.2f} times (target {TARGET_RATIO:g}: {met})"
    )


def difference(told: Array, model: TrainedModel, matrix: Array) -> float:
    some = slice(0, 100_000)
    return float(np.abs(told[some] - model.library_probabilities(matrix[some])).max())


def beside_training(candles: pd.DataFrame) -> None:
    """How late answers at a steady beat come while nothing is trained, a child trains, and a thread does."""
    made = train_and_score(Recipe(), candles.tail(1500))
    scorer, calibration = Scorer.load(made.artefact), made.calibration
    matrix = drawn(_complete(feature_matrix(market_frame(candles), made.recipe.form)), 1)

    def answer() -> None:
        calibration.apply(scorer.probabilities(matrix))

    print("\nanswers at a beat of 5 ms, how late they were done, ms p50 / p99 / most:")
    for name, train in (
        ("nothing is trained", lambda: sleep(8)),
        ("trained in a child (as Photon does)", lambda: train_in_process(Recipe(), candles)),
        ("trained in a thread of the process", lambda: train_and_score(Recipe(), candles)),
    ):
        late = np.array(_beats(answer, train)) * 1e3
        p50, p99 = np.median(late), np.quantile(late, 0.99)
        print(f"  {name:38} {p50:7.3f} / {p99:7.3f} / {late.max():8.3f}   ({late.size} answers)")


def _beats(answer: Callable[[], None], train: Callable[[], object]) -> list[float]:
    done = Event()

    def work() -> None:
        train()
        done.set()

    thread = Thread(target=work)
    thread.start()
    late = []
    due = perf_counter() + BEAT_SECONDS
    while not done.is_set():
        sleep(max(0.0, due - perf_counter()))
        answer()
        late.append(perf_counter() - due)
        due = max(due + BEAT_SECONDS, perf_counter())
    thread.join()
    return late


def _complete(matrix: Array) -> Array:
    return matrix[np.isfinite(matrix).all(axis=1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    candles = hourly()
    for algorithm in Algorithm:
        compare(Recipe(algorithm=algorithm), candles, given.rows, given.rounds)
    beside_training(candles)


if __name__ == "__main__":
    main()
