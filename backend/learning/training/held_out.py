"""Out-of-sample predictions of a recipe by a purged, embargoed walk-forward, raw and calibrated."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.validation import Fold, Rows, walk_forward
from learning.scores.evaluation import HeldOut
from learning.training.calibration import Calibration, Method, fit_calibration
from learning.training.examples import Examples
from learning.training.fit import TooFewRows, TrainingError, fit
from learning.training.recipes import Recipe
from learning.trees.forest import CLASSES


def hold_out(recipe: Recipe, known: Examples, at: int | None = None) -> HeldOut:
    """The predictions of `recipe.folds` folds for all labelled rows but the first part, which is for training only.

    The last candle that a training label uses closed a horizon before the first test row. With `at`, only labels known
    at the close of that candle are used. A fold with too few training rows, or with one class, is left out; raises
    TrainingError if none is left.
    """
    known = known if at is None else known.until(at)
    found: list[tuple[Fold, Array, tuple[Array, ...]]] = []
    failure: TrainingError = TooFewRows(0)
    for fold in walk_forward(known.labels, known.complete, recipe.folds, embargo=recipe.horizon):
        rows = fold.train if recipe.window is None else fold.train[-recipe.window :]
        try:
            model = fit(recipe, known.matrix[rows], known.labels.values[rows])
        except TrainingError as error:
            failure = error
            continue
        majority = np.tile(model.class_shares, (fold.test.size, 1))
        after = _transitions(recipe, known, rows)[_previous(recipe, known, fold.test)]
        found.append((fold, model.probabilities(known.matrix[fold.test]), (majority, after)))
    if not found:
        raise failure
    tests = [fold.test for fold, _, _ in found]
    rows = np.concatenate(tests)
    raw = np.concatenate([probabilities for _, probabilities, _ in found])
    numbers = np.repeat(np.arange(len(found)), [test.size for test in tests])
    return HeldOut(
        rows=rows,
        fold=numbers,
        truth=known.labels.values[rows],
        raw=raw,
        calibrated=_calibrated_forward(recipe, known, rows, numbers, raw),
        majority=np.concatenate([majority for _, _, (majority, _) in found]),
        previous=_previous(recipe, known, rows),
        after_previous=np.concatenate([after for _, _, (_, after) in found]),
    )


def recalibrated(recipe: Recipe, known: Examples, held: HeldOut, method: Method) -> HeldOut:
    """The same raw predictions under another calibration."""
    recipe = replace(recipe, calibration=method)
    return replace(held, calibrated=_calibrated_forward(recipe, known, held.rows, held.fold, held.raw))


def calibration_of(recipe: Recipe, held: HeldOut) -> Calibration:
    """The calibration for a model that is trained on the whole history behind these predictions."""
    return fit_calibration(recipe.calibration, held.raw, held.truth)


def _calibrated_forward(recipe: Recipe, known: Examples, rows: Rows, fold: npt.NDArray[np.int64], raw: Array) -> Array:
    calibrated = raw.copy()
    for number in range(1, int(fold[-1]) + 1):
        ours = fold == number
        before = (fold < number) & (known.labels.ends[rows] < rows[ours][0])
        calibration = fit_calibration(recipe.calibration, raw[before], known.labels.values[rows[before]])
        calibrated[ours] = calibration.apply(raw[ours])
    return calibrated


def _previous(recipe: Recipe, known: Examples, rows: Rows) -> npt.NDArray[np.int8]:
    """The label whose last candle is the row itself; the first label for rows before the first horizon."""
    return known.labels.values[np.maximum(rows - recipe.horizon, 0)]


def _transitions(recipe: Recipe, known: Examples, rows: Rows) -> Array:
    """(3, 3): the class frequencies after each label among the rows. Counts start at 1: no frequency is 0."""
    counts = np.ones((CLASSES, CLASSES))
    np.add.at(counts, (_previous(recipe, known, rows), known.labels.values[rows]), 1.0)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
