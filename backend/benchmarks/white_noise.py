"""The skill that shuffled cross-validation finds where there is none: prices whose changes are white noise.

    python benchmarks/white_noise.py [--seeds 50] [--candles 1500]

Run it from backend/. Labels look 20 candles ahead, so that neighbours share 19 of them, and features look back:
shuffled, each test row has its near-twins among the training rows. An AUC of 0.5 knows nothing; all above it is an
illusion. "Held" counts the seeds whose own 95 % interval holds 0.5; chance alone leaves out one in twenty.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.random_walk import fair_candles
from engine.snapshot import market_frame
from engine.validation import Rows
from learning.scores.measures import Interval, Predictions, Resampling, measures
from learning.training.examples import Examples, examples
from learning.training.fit import fit
from learning.training.held_out import hold_out
from learning.training.recipes import Recipe

RECIPE = Recipe(horizon=20, threshold=0.02, trees=50)


@dataclass(frozen=True, slots=True)
class Found:
    """The AUC that each way of testing finds on one walk."""

    shuffled: Interval
    ours: Interval


def foretold(seed: int, candles: int, recipe: Recipe = RECIPE) -> Found:
    known = examples(recipe, market_frame(fair_candles(candles, seed)))
    held = hold_out(recipe, known)
    return Found(_auc(shuffled(recipe, known, seed), recipe, seed), _auc(held.predictions(held.raw), recipe, seed))


def shuffled(recipe: Recipe, known: Examples, seed: int) -> Predictions:
    """Five folds of rows drawn at random, as `KFold(shuffle=True)` draws them, answered by the same model."""
    usable = np.flatnonzero(known.complete & (known.labels.values >= 0))
    tests = [np.sort(part) for part in np.array_split(np.random.default_rng(seed).permutation(usable), recipe.folds)]
    said = np.vstack([_answered(recipe, known, np.setdiff1d(usable, test), test) for test in tests])
    fold = np.repeat(np.arange(recipe.folds), [test.size for test in tests])
    rows = np.concatenate(tests)
    return Predictions.most_probable(rows, said, known.labels.values[rows], fold)


def _answered(recipe: Recipe, known: Examples, train: Rows, test: Rows) -> np.ndarray:
    return fit(recipe, known.matrix[train], known.labels.values[train]).probabilities(known.matrix[test])


def _auc(answers: Predictions, recipe: Recipe, seed: int) -> Interval:
    found = measures(answers, Resampling(answers.fold, recipe.horizon, seed)).auc
    assert found is not None, "a walk of three classes"
    return found


def table(found: list[Found]) -> Iterator[str]:
    yield f"{'':<28} {'mean AUC':>8} {'95 % of the mean':>18} {'lowest':>7} {'highest':>7} {'held':>8}"
    for name, intervals in (
        ("shuffled k-fold", [one.shuffled for one in found]),
        ("purged, embargoed, in order", [one.ours for one in found]),
    ):
        values = [one.value for one in intervals]
        half = 1.96 * stdev(values) / sqrt(len(values))
        bounds = f"{mean(values) - half:.3f} .. {mean(values) + half:.3f}"
        held = sum(one.holds(0.5) for one in intervals)
        extremes = f"{min(values):7.3f} {max(values):7.3f}"
        yield f"{name:<28} {mean(values):8.3f} {bounds:>18} {extremes} {held:4d}/{len(found)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--candles", type=int, default=1500)
    given = parser.parse_args()
    print(f"{given.seeds} walks of {given.candles} candles, horizon {RECIPE.horizon}")
    print("\n".join(table([foretold(seed, given.candles) for seed in range(given.seeds)])))


if __name__ == "__main__":
    main()
