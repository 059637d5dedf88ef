"""Training a model on rows of features, and asking it for probabilities. Nothing is stored and nothing is logged."""

from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.orders import Action
from learning.recipes import Algorithm, Recipe

MINIMUM_ROWS = 30
CLASSES = len(Action)


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
    """A trained model. `class_counts` holds the number of training rows labelled SELL, HOLD and BUY."""

    recipe: Recipe
    class_counts: tuple[int, int, int]
    estimator: Any

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
        result = np.full((len(matrix), CLASSES), np.nan)
        complete = complete_rows(matrix)
        if complete.any():
            answers = np.zeros((np.count_nonzero(complete), CLASSES))
            answers[:, self.estimator.classes_] = self._answers(matrix[complete])
            result[complete] = answers
        return result

    def _answers(self, matrix: Array) -> Array:
        if self.recipe.algorithm is Algorithm.RANDOM_FOREST:
            answers: Array = self.estimator.predict_proba(matrix)
            return answers
        return _softmax(self.estimator.decision_function(matrix))


def fit(recipe: Recipe, matrix: Array, values: npt.NDArray[np.int8]) -> Model:
    """A model trained on (n, 14) features and n labels. Raises TrainingError; the same input gives the same bits."""
    check_rows(len(values))
    if len(matrix) != len(values):
        raise TrainingError(f"{len(matrix)} rows of features, but {len(values)} labels")
    complete = complete_rows(matrix)
    if not complete.all():
        raise TrainingError(f"a feature of row {int(np.argmin(complete))} is missing or not finite")
    counts = _class_counts(values)
    estimator = _estimator(recipe)
    weights = len(values) / (np.count_nonzero(counts) * np.array(counts, dtype=np.float64).clip(min=1))
    estimator.fit(matrix, values, sample_weight=weights[values])
    if recipe.algorithm is Algorithm.RANDOM_FOREST:
        # Threads add up the trees in the order in which they finish, and the last bits with them.
        estimator.set_params(n_jobs=1)
    return Model(recipe, counts, estimator)


def complete_rows(matrix: Array) -> npt.NDArray[np.bool_]:
    """Which rows of (n, 14) features hold a finite number in every slot."""
    return np.asarray(np.isfinite(matrix).all(axis=1))


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
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    # Shallow trees: deeper ones foretold no better out of sample, took longer, and would grow with the history.
    if recipe.algorithm is Algorithm.RANDOM_FOREST:
        return RandomForestClassifier(
            n_estimators=recipe.trees, max_depth=6, min_samples_leaf=10, n_jobs=-1, random_state=recipe.seed
        )
    return GradientBoostingClassifier(
        n_estimators=recipe.trees,
        learning_rate=0.05,
        max_depth=3,
        min_samples_leaf=10,
        subsample=0.5,
        max_features="sqrt",
        random_state=recipe.seed,
    )


def _softmax(scores: Array) -> Array:
    """Probabilities from the scores of three classes (n, 3), or from the one score of two classes (n,).

    The exponential is taken one by one: numpy's may give other bits at the end of an array than in its middle. The sum
    is taken column by column, in an order that does not depend on the number of rows.
    """
    if scores.ndim == 1:
        scores = np.column_stack([np.zeros(scores.size), scores])
    shifted = scores - scores.max(axis=1, keepdims=True)
    powers = np.array([exp(score) for score in shifted.ravel().tolist()]).reshape(scores.shape)
    total = powers[:, 0].copy()
    for column in powers.T[1:]:
        total += column
    return np.asarray(powers / total[:, None])
