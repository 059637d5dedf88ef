"""Fitting a model to rows of features. Nothing is stored or logged."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from engine.indicators import Array
from engine.orders import Action
from learning.training.recipes import Algorithm, Recipe
from learning.trees.artefacts import Scorer
from learning.trees.forest import CLASSES, Forest, complete_rows, single_precision

MINIMUM_ROWS = 30

WORTH_THREADS = 200_000
"""Rows times trees of a random forest: below this, one thread is faster than several."""


class TrainingError(ValueError):
    """A model cannot be trained on this data."""


class TooFewRows(TrainingError):
    """There is not enough history to train on."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows} rows to train on, but at least {MINIMUM_ROWS} are needed")
        self.rows = rows


class OneClassOnly(TrainingError):
    """All labels are the same."""

    def __init__(self, action: Action, rows: int) -> None:
        super().__init__(
            f"all {rows} rows to train on are labelled {action.name}; a smaller threshold or a longer horizon may help"
        )


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained model. `class_counts` holds the number of training rows labelled SELL, HOLD and BUY.

    `scorer` is what a stored model predicts with; `estimator` is that of scikit-learn, for comparison.
    """

    recipe: Recipe
    class_counts: tuple[int, int, int]
    estimator: Any
    scorer: Scorer

    @property
    def rows(self) -> int:
        return sum(self.class_counts)

    @property
    def class_shares(self) -> Array:
        """The share of each class among the training rows, (3,)."""
        return np.array(self.class_counts) / self.rows

    def probabilities(self, matrix: Array) -> Array:
        """(n, 3) float64 in the order SELL, HOLD, BUY for (n, 14) features; NaN for an incomplete row.

        One row and a batch give the same bits. A class without training rows has probability 0.
        """
        return self.scorer.probabilities(matrix)

    def library_probabilities(self, matrix: Array) -> Array:
        """The probabilities of scikit-learn, (n, 3), for complete rows."""
        probabilities = np.zeros((len(matrix), CLASSES))
        with threadpool_limits(1):  # waiting threads spin and slow down other work
            probabilities[:, self.estimator.classes_] = self.estimator.predict_proba(single_precision(matrix))
        return probabilities


def fit(recipe: Recipe, matrix: Array, values: npt.NDArray[np.int8]) -> TrainedModel:
    """A model trained on (n, 14) features and n labels. Raises TrainingError; the same input gives the same bits.

    All classes have the same total weight.
    """
    if len(values) < MINIMUM_ROWS:
        raise TooFewRows(len(values))
    if len(matrix) != len(values):
        raise TrainingError(f"{len(matrix)} rows of features, but {len(values)} labels")
    complete = complete_rows(matrix)
    if not complete.all():
        raise TrainingError(f"a feature of row {int(np.argmin(complete))} is missing or not finite")
    counts = _class_counts(values)
    estimator = _estimator(recipe)
    weights = len(values) / (np.count_nonzero(counts) * np.array(counts, dtype=np.float64).clip(min=1))
    if recipe.algorithm is Algorithm.RANDOM_FOREST and len(values) * recipe.trees >= WORTH_THREADS:
        estimator.set_params(n_jobs=-1)
    with threadpool_limits(1):  # waiting threads spin and slow down other work
        estimator.fit(single_precision(matrix), values, sample_weight=weights[values])
    if recipe.algorithm is Algorithm.RANDOM_FOREST:
        # Several threads would add the trees in varying order, which changes the last bits.
        estimator.set_params(n_jobs=1)
    return TrainedModel(recipe, counts, estimator, Scorer(Forest.of(estimator)))


def _class_counts(values: npt.NDArray[np.int8]) -> tuple[int, int, int]:
    if values.min() < Action.SELL or values.max() > Action.BUY:
        raise TrainingError("a label is not SELL, HOLD or BUY")
    sell, hold, buy = np.bincount(values, minlength=CLASSES).tolist()
    if max(sell, hold, buy) == len(values):
        raise OneClassOnly(Action(int(values[0])), len(values))
    return sell, hold, buy


def _estimator(recipe: Recipe) -> Any:
    # scikit-learn takes seconds to import, and modules that need only a recipe or a score import this one.
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier

    growth: dict[str, Any] = {
        "max_depth": recipe.max_depth,
        "min_samples_leaf": recipe.min_samples_leaf,
        "random_state": recipe.seed,
    }
    if recipe.algorithm is Algorithm.RANDOM_FOREST:
        return RandomForestClassifier(n_estimators=recipe.trees, n_jobs=1, **growth)
    growth["learning_rate"] = recipe.learning_rate
    if recipe.algorithm is Algorithm.GRADIENT_BOOSTING:
        return GradientBoostingClassifier(n_estimators=recipe.trees, subsample=0.5, max_features="sqrt", **growth)
    # Early stopping would validate on neighbours of training rows. With sample weights, finding 255 bins per feature
    # takes longer than fitting the trees.
    return HistGradientBoostingClassifier(
        max_iter=recipe.trees, max_leaf_nodes=None, max_features=0.5, max_bins=64, early_stopping=False, **growth
    )
