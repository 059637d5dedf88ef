"""Training a model on rows of features, and asking it for probabilities. Nothing is stored and nothing is logged."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.orders import Action
from learning.training.recipes import Algorithm, Recipe
from learning.training.threads import one_thread
from learning.trees.artefacts import Scorer
from learning.trees.forest import CLASSES, Forest, complete_rows, single_precision

MINIMUM_ROWS = 30

WORTH_THREADS = 200_000
"""Rows times trees of a forest: below, starting threads and waiting for them takes longer than growing it in one."""


class TrainingError(ValueError):
    """A model cannot be trained on this data."""


class TooFewRows(TrainingError):
    """There is not enough history to train on."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows} rows to train on, but at least {MINIMUM_ROWS} are needed")
        self.rows = rows


class OneClassOnly(TrainingError):
    """All labels are the same, so there is nothing to tell apart."""

    def __init__(self, action: Action, rows: int) -> None:
        super().__init__(
            f"all {rows} rows to train on are labelled {action.name}; a smaller threshold or a longer horizon may help"
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model. `class_counts` holds the number of training rows labelled SELL, HOLD and BUY.

    It answers by `scorer`, as a stored model at work does; `estimator` is scikit-learn's, to be compared with.
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
        """(n, 3) float64 in the order SELL, HOLD, BUY for (n, 14) features; NaN for a row that is not complete.

        One row and a batch give the same bits. A class that the training rows did not hold has probability 0.
        """
        return self.scorer.probabilities(matrix)

    def library_probabilities(self, matrix: Array) -> Array:
        """What scikit-learn itself says, (n, 3), for rows that are complete."""
        answers = np.zeros((len(matrix), CLASSES))
        with one_thread():
            answers[:, self.estimator.classes_] = self.estimator.predict_proba(single_precision(matrix))
        return answers


def fit(recipe: Recipe, matrix: Array, values: npt.NDArray[np.int8]) -> Model:
    """A model trained on (n, 14) features and n labels. Raises TrainingError; the same input gives the same bits.

    All classes weigh the same, however rare.
    """
    check_rows(len(values))
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
    with one_thread():
        estimator.fit(single_precision(matrix), values, sample_weight=weights[values])
    if recipe.algorithm is Algorithm.RANDOM_FOREST:
        # Threads add up the trees in the order in which they finish, and the last bits with them.
        estimator.set_params(n_jobs=1)
    return Model(recipe, counts, estimator, Scorer(Forest.of(estimator)))


def check_rows(rows: int) -> None:
    """Raises TooFewRows where nobody should expect a model to learn anything."""
    if rows < MINIMUM_ROWS:
        raise TooFewRows(rows)


def _class_counts(values: npt.NDArray[np.int8]) -> tuple[int, int, int]:
    if values.min() < Action.SELL or values.max() > Action.BUY:
        raise TrainingError("a label is not SELL, HOLD or BUY")
    sell, hold, buy = np.bincount(values, minlength=CLASSES).tolist()
    if max(sell, hold, buy) == len(values):
        raise OneClassOnly(Action(int(values[0])), len(values))
    return sell, hold, buy


def _estimator(recipe: Recipe) -> Any:
    # scikit-learn takes seconds to import; who only names a recipe or reads a score need not wait for it.
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
    # Its own early stopping would draw validation rows from among the neighbours of the training rows. Where rows have
    # weights, bins are found one by one: 255 for each feature take longer than the trees.
    return HistGradientBoostingClassifier(
        max_iter=recipe.trees, max_leaf_nodes=None, max_features=0.5, max_bins=64, early_stopping=False, **growth
    )
