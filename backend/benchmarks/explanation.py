"""What it costs to explain an answer, beside the answer itself, and how exactly the parts add up.

    python benchmarks/explanation.py SERIES.csv [--rows 2000] [--trees 200]

Run it from backend/; SERIES is a candle file with a `timestamp` column. A model of each algorithm is trained on the
first half of the rows and explains the other half: contributions, then the smallest change of one feature that changes
the action, at a threshold of 0.4 and applied to the model. Times are processor time of the thread, which a busy machine
stretches less. The last columns are how many answers a single feature can change, and the largest
|base + contributions - probability| over all rows and classes, which has to stay below 1e-9.
"""

import argparse
import sys
from pathlib import Path
from time import thread_time

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.candles import validate
from engine.indicators import Array
from engine.reasons import action_of
from engine.snapshot import market_frame
from learning.explanation.contributions import explain
from learning.scores.drift import profile
from learning.training.examples import examples
from learning.training.fit import fit
from learning.training.recipes import Algorithm, Recipe
from learning.trees.expected import ExpectedTrees

THRESHOLD = 0.4
LARGEST_DIFFERENCE = 1e-9


def row(recipe: Recipe, candles: pd.DataFrame, most: int) -> tuple[str, float]:
    known = examples(recipe, market_frame(candles))
    rows = np.flatnonzero(known.complete & (known.labels.values >= 0))[-2 * most :]
    half = rows.size // 2
    model = fit(recipe, known.matrix[rows[:half]], known.labels.values[rows[:half]])
    trees, spread = ExpectedTrees.of(model.scorer.forest), profile(known.matrix[rows[:half]]).spread

    def ask(vector: Array) -> Array:
        return np.asarray(model.probabilities(vector.reshape(1, -1))[0])

    seconds: list[tuple[float, float, float]] = []
    differences, found = [], 0
    for vector in known.matrix[rows[half:]]:
        begun = thread_time()
        probabilities = ask(vector)
        answered = thread_time()
        why = explain(trees, vector, spread, ask)
        explained = thread_time()
        change = why.counterfactual(THRESHOLD)
        seconds.append((answered - begun, explained - answered, thread_time() - explained))
        differences.append(float(np.abs(why.base + why.contributions.sum(axis=0) - probabilities).max()))
        if change is not None:
            found += 1
            assert action_of(change.probabilities, THRESHOLD) == change.action != action_of(probabilities, THRESHOLD)
    times = np.array(seconds) * 1000.0
    columns = " ".join(f"{np.median(part):7.3f} {np.quantile(part, 0.99):7.3f}" for part in times.T)
    worst = max(differences)
    return (
        f"{recipe.algorithm.value:<24} {trees.feature.size:7} {columns} {found / len(times):7.1%} {worst:9.1e}",
        worst,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", type=Path)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--trees", type=int, default=200)
    given = parser.parse_args()
    candles = validate(pd.read_csv(given.series, index_col="timestamp", parse_dates=True))
    print(f"{given.series.stem}: {given.trees} trees or stages, milliseconds of processor time, p50 and p99")
    print(
        f"{'':<24} {'nodes':>7} {'answer':>15} {'contributions':>15} {'counterfactual':>15} {'found':>7} {'largest':>9}"
    )
    failed = False
    for algorithm in Algorithm:
        text, worst = row(Recipe(algorithm=algorithm, trees=given.trees), candles, given.rows)
        failed |= worst > LARGEST_DIFFERENCE
        print(text, flush=True)
    if failed:
        sys.exit("contributions do not add up")


if __name__ == "__main__":
    main()
