"""Answers to rows that no model had seen: a purged, embargoed walk-forward, raw and calibrated, with its baselines."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.orders import Action
from engine.validation import Fold, Rows, walk_forward
from learning.scores.measures import Answers
from learning.training.calibration import Calibration, Method, fit_calibration
from learning.training.examples import Examples
from learning.training.fit import CLASSES, TooFewRows, TrainingError, fit
from learning.training.recipes import Recipe


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One row for each answer, in time order; `rows` number the candles and `fold` the models.

    `calibrated` is what was known of a model's candour when its fold began: the calibration is fitted on the answers of
    the folds before it. `majority` (n, 3) are the class frequencies among the training rows; `previous` (n,) is the
    label that was the last to be known, and `after_previous` (n, 3) how often each class came after it in training.
    """

    rows: Rows
    fold: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int8]
    raw: Array
    calibrated: Array
    majority: Array
    previous: npt.NDArray[np.int8]
    after_previous: Array

    def scored(self) -> "HeldOut":
        """All but the first fold, whose answers had nothing to be calibrated on; all if there is no other."""
        later = self.fold > self.fold[0]
        return HeldOut(*(getattr(self, name)[later] for name in self.__slots__)) if later.any() else self

    def answers(self) -> Answers:
        return Answers.likeliest(self.rows, self.calibrated, self.truth, self.fold)

    def raw_answers(self) -> Answers:
        return Answers.likeliest(self.rows, self.raw, self.truth, self.fold)

    def majority_answers(self) -> Answers:
        """The commonest class so far, and the frequencies so far."""
        return Answers.likeliest(self.rows, self.majority, self.truth, self.fold)

    def previous_answers(self) -> Answers:
        """What was right last time, and how often each class came after it."""
        same = (self.previous == self.truth).astype(np.float64)
        return Answers(self.rows, self.after_previous, same, self.truth, self.fold)

    def coin_answers(self) -> Answers:
        """A third for each class, right one time in three."""
        coin = np.full((self.rows.size, CLASSES), 1.0 / CLASSES)
        return Answers(self.rows, coin, coin[:, Action.HOLD], self.truth, self.fold)


def hold_out(recipe: Recipe, known: Examples, at: int | None = None) -> HeldOut:
    """The answers of `recipe.folds` folds to all labelled rows but the first part, which only trains.

    The last candle that a training label looks at closed a horizon before the first test row. `at` ends the history:
    only labels that were known at the close of that candle count. A fold that has too few rows to train on, or one
    class only, is left out; raises TrainingError if none is left.
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
    raw = np.concatenate([answers for _, answers, _ in found])
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
    """The same answers under another calibration."""
    recipe = replace(recipe, calibration=method)
    return replace(held, calibrated=_calibrated_forward(recipe, known, held.rows, held.fold, held.raw))


def calibration_of(recipe: Recipe, held: HeldOut) -> Calibration:
    """The calibration for a model trained on the whole history that these answers come from."""
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
    """The label whose last candle is the row itself; the very first where the horizon reaches back beyond it."""
    return known.labels.values[np.maximum(rows - recipe.horizon, 0)]


def _transitions(recipe: Recipe, known: Examples, rows: Rows) -> Array:
    """(3, 3): for each label, how often each class came next among the rows. One more of each: none is impossible."""
    counts = np.ones((CLASSES, CLASSES))
    np.add.at(counts, (_previous(recipe, known, rows), known.labels.values[rows]), 1.0)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
