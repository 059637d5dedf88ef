"""A bounded search for a better recipe: successive halving over purged folds.

Half of the candidates drop out after each fold (Kevin Jamieson and Ameet Talwalkar, Non-stochastic Best Arm
Identification and Hyperparameter Optimization, 2016). The resource is folds and not, as in scikit-learn, rows or trees:
rows drawn at random separate overlapping labels, and few trees favour high learning rates.
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
from learning.training.fit import TooFewRows, TrainingError, fit
from learning.training.recipes import Algorithm, Recipe
from learning.trees.forest import CLASSES

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
"""At most ten candidates with the recipe itself: 10 + 5 + 3 fits on 3/4, 2/4 and 1/4 of the history, the cost of about
eleven trainings on all of it."""


@dataclass(frozen=True, slots=True)
class RecipeScore:
    """The grid values of a candidate, and its mean log loss, with equal class weights, on its first `folds` folds."""

    fields: Mapping[str, float]
    folds: int
    loss: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The recipe to train with. `margin` is the loss of the given recipe less that of the best candidate, in an
    interval corrected for the number of candidates; the recipe is replaced only where all of it is above 0. None where
    the given recipe is the best.
    """

    recipe: Recipe
    trials: tuple[RecipeScore, ...]
    margin: Interval | None

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = asdict(self)
        return {"margin": plain["margin"], "trials": plain["trials"]}


@dataclass(slots=True)
class _Candidate:
    recipe: Recipe
    losses: list[Array]

    @property
    def loss(self) -> float:
        return float(np.concatenate(self.losses).mean()) if self.losses else np.inf


def search(recipe: Recipe, known: Examples, rows: Rows) -> SearchResult:
    """The recipe, or one with other tree parameters that is significantly better; only `rows` are used.

    The best of ten candidates is selected for luck too, so the recipe stays unless the best one's advantage on the same
    rows is significant at 95 % after correction. Deterministic by the seed. Raises TrainingError where no fold can be
    trained.
    """
    folds = list(reversed(_folds(recipe, known, rows)))
    remaining = [_Candidate(one, []) for one in candidates(recipe)]
    own, trials = remaining[0], []
    for number, fold in enumerate(folds):
        for candidate in remaining:
            candidate.losses.append(_losses(candidate.recipe, known, fold))
        remaining.sort(key=lambda candidate: candidate.loss)
        left = len(remaining) if number == len(folds) - 1 else (len(remaining) + 1) // 2
        kept = remaining[:left] if own in remaining[:left] else [*remaining[: left - 1], own]
        trials += [_score(candidate) for candidate in remaining if candidate not in kept]
        remaining = kept
    trials += [_score(candidate) for candidate in remaining]
    best = min(remaining, key=lambda candidate: candidate.loss)
    if best is own:
        return SearchResult(recipe, tuple(trials), None)
    margin = _margin(recipe, best, own, others=len(trials) - 1)
    return SearchResult(best.recipe if margin.low > 0 else recipe, tuple(trials), margin)


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
    """(n,) the log loss of each test row with equal class weights, as in training."""
    model = fit(recipe, known.matrix[fold.train], known.labels.values[fold.train])
    truth = known.labels.values[fold.test]
    chosen = model.probabilities(known.matrix[fold.test])[np.arange(truth.size), truth]
    counts = np.bincount(truth, minlength=CLASSES)
    weights = truth.size / (np.count_nonzero(counts) * counts.clip(min=1))
    return np.asarray(-np.log(np.maximum(chosen, SMALLEST_PROBABILITY)) * weights[truth])


def _margin(recipe: Recipe, best: _Candidate, own: _Candidate, others: int) -> Interval:
    """The interval of one comparison, widened for the best of many (Carlo Emilio Bonferroni, 1936)."""
    fold = np.repeat(np.arange(len(own.losses)), [losses.size for losses in own.losses])
    gained = np.concatenate(own.losses) - np.concatenate(best.losses)
    one = mean_interval(gained, Resampling(fold, recipe.horizon, recipe.seed))
    normal = NormalDist()
    stretch = normal.inv_cdf(1 - 0.025 / others) / normal.inv_cdf(0.975)
    return Interval(
        one.value, one.value - stretch * (one.value - one.low), one.value + stretch * (one.high - one.value)
    )


def _score(candidate: _Candidate) -> RecipeScore:
    fields = {name: getattr(candidate.recipe, name) for name in GRIDS[candidate.recipe.algorithm]}
    return RecipeScore(fields, len(candidate.losses), candidate.loss)
