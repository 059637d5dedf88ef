"""A bounded search for a better recipe: a race over purged folds, in which half of the field drops out after each.

The race is a successive halving (Kevin Jamieson and Ameet Talwalkar, Non-stochastic Best Arm Identification and
Hyperparameter Optimization, 2016) whose resource is folds. scikit-learn's own would hand out rows or trees: rows drawn
at random leave gaps between labels that overlap, and few trees flatter a boosting that learns fast.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np

from engine.indicators import Array
from engine.validation import Fold, Rows, walk_forward
from learning.scores.measures import SMALLEST_PROBABILITY, Interval, Resampling, mean_interval
from learning.training.examples import Examples
from learning.training.fit import CLASSES, TooFewRows, TrainingError, fit
from learning.training.recipes import Algorithm, Recipe

FOLDS = 3

GRIDS: Mapping[Algorithm, Mapping[str, tuple[float, ...]]] = {
    Algorithm.RANDOM_FOREST: {"max_depth": (4, 6, 9), "min_samples_leaf": (5, 10, 40)},
    Algorithm.GRADIENT_BOOSTING: {"max_depth": (2, 3), "min_samples_leaf": (10, 40), "learning_rate": (0.02, 0.05)},
    Algorithm.HIST_GRADIENT_BOOSTING: {
        "max_depth": (2, 3),
        "min_samples_leaf": (20, 60),
        "learning_rate": (0.02, 0.05),
    },
}
"""At most ten runners with the recipe itself: 10 + 5 + 3 fits on 3/4, 2/4 and 1/4 of the history, as much as eleven
trainings on all of it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a runner was made of, and its mean log loss, each class as heavy as the others, on the folds it ran."""

    fields: Mapping[str, float]
    folds: int
    loss: float


@dataclass(frozen=True, slots=True)
class Found:
    """The recipe to train with. `margin` is by how much the best runner's loss was below that of the recipe it was to
    replace, in an interval wide enough for all runners together; only where it is above 0 as a whole the recipe was
    replaced. None where the recipe itself was the best.
    """

    recipe: Recipe
    trials: tuple[Trial, ...]
    margin: Interval | None

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = asdict(self)
        return {"margin": plain["margin"], "trials": plain["trials"]}


@dataclass(slots=True)
class _Runner:
    recipe: Recipe
    losses: list[Array]

    @property
    def loss(self) -> float:
        return float(np.concatenate(self.losses).mean()) if self.losses else np.inf


def search(recipe: Recipe, known: Examples, rows: Rows) -> Found:
    """The recipe, or one with other trees where these were better beyond chance; only `rows` are looked at.

    Among ten runners one is always lucky, so the recipe stays unless the best beats it on the same answers by more than
    the luckiest of ten would in 95 % of the cases. The same seed finds the same. Raises TrainingError where no fold can
    be trained.
    """
    races = list(reversed(_folds(recipe, known, rows)))
    runners = [_Runner(one, []) for one in candidates(recipe)]
    own, trials = runners[0], []
    for number, fold in enumerate(races):
        for runner in runners:
            runner.losses.append(_losses(runner.recipe, known, fold))
        runners.sort(key=lambda runner: runner.loss)
        left = len(runners) if number == len(races) - 1 else (len(runners) + 1) // 2
        kept = runners[:left] if own in runners[:left] else [*runners[: left - 1], own]
        trials += [_trial(runner) for runner in runners if runner not in kept]
        runners = kept
    trials += [_trial(runner) for runner in runners]
    best = min(runners, key=lambda runner: runner.loss)
    if best is own:
        return Found(recipe, tuple(trials), None)
    margin = _margin(recipe, best, own, rivals=len(trials) - 1)
    return Found(best.recipe if margin.low > 0 else recipe, tuple(trials), margin)


def candidates(recipe: Recipe) -> Iterator[Recipe]:
    """The recipe itself first, then those of its algorithm's grid."""
    yield recipe
    grid = GRIDS[recipe.algorithm]
    for values in product(*grid.values()):
        fields: dict[str, Any] = dict(zip(grid, values, strict=True))
        other = replace(recipe, **fields)
        if other != recipe:
            yield other


def _folds(recipe: Recipe, known: Examples, rows: Rows) -> list[Fold]:
    """The folds in which the recipe can be trained."""
    allowed = np.zeros(known.complete.size, dtype=bool)
    allowed[rows] = True
    found: list[Fold] = []
    failure: TrainingError = TooFewRows(rows.size)
    for fold in walk_forward(known.labels, allowed, FOLDS, embargo=recipe.horizon):
        try:
            fit(replace(recipe, trees=1), known.matrix[fold.train], known.labels.values[fold.train])
            found.append(fold)
        except TrainingError as error:
            failure = error
    if not found:
        raise failure
    return found


def _losses(recipe: Recipe, known: Examples, fold: Fold) -> Array:
    """(n,) the surprise of each test row, the classes made as heavy as each other, as they are in training."""
    model = fit(recipe, known.matrix[fold.train], known.labels.values[fold.train])
    truth = known.labels.values[fold.test]
    chosen = model.probabilities(known.matrix[fold.test])[np.arange(truth.size), truth]
    counts = np.bincount(truth, minlength=CLASSES)
    weights = truth.size / (np.count_nonzero(counts) * counts.clip(min=1))
    return np.asarray(-np.log(np.maximum(chosen, SMALLEST_PROBABILITY)) * weights[truth])


def _margin(recipe: Recipe, best: _Runner, own: _Runner, rivals: int) -> Interval:
    """The interval of one comparison, stretched for the best of many (Carlo Emilio Bonferroni, 1936)."""
    fold = np.repeat(np.arange(len(own.losses)), [losses.size for losses in own.losses])
    gained = np.concatenate(own.losses) - np.concatenate(best.losses)
    one = mean_interval(gained, Resampling(fold, recipe.horizon, recipe.seed))
    normal = NormalDist()
    stretch = normal.inv_cdf(1 - 0.025 / rivals) / normal.inv_cdf(0.975)
    return Interval(
        one.value, one.value - stretch * (one.value - one.low), one.value + stretch * (one.high - one.value)
    )


def _trial(runner: _Runner) -> Trial:
    fields = {name: getattr(runner.recipe, name) for name in GRIDS[runner.recipe.algorithm]}
    return Trial(fields, len(runner.losses), runner.loss)
