"""Walk-forward predictions: models trained on the past, used on the following candles, and trained again."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.indicators import Array
from engine.labels import UNKNOWN
from engine.validation import Rows
from learning.scores.walk_score import Score, score
from learning.training.calibration import Calibration, Method, fit_calibration
from learning.training.examples import Examples, examples, rows_known
from learning.training.fit import MINIMUM_ROWS, OneClassOnly, TrainedModel, TrainingError, fit
from learning.training.held_out import hold_out
from learning.training.recipes import Recipe
from learning.trees.forest import CLASSES

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Training:
    """A model first used at the close of candle `row`, and the open times of its first and last training candle.

    `class_counts` are the training rows labelled SELL, HOLD and BUY; no label ends after candle `row`.
    """

    row: int
    rows_trained: int
    first_time: pd.Timestamp
    last_time: pd.Timestamp
    class_counts: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """One row per candle, NaN before the first model and where a feature is missing.

    `probabilities` (n, 3) are calibrated and in the order SELL, HOLD, BUY; `baseline` (n, 3) are the class frequencies
    of the training rows of the model that predicted the row.
    """

    probabilities: Array
    baseline: Array
    trainings: tuple[Training, ...]


def out_of_sample_probabilities(
    recipe: Recipe, market: pd.DataFrame, start: int, retrain_every: int, on_progress: Progress | None = None
) -> OutOfSample:
    """Probabilities for the rows from `start` on, with a new model every `retrain_every` rows (0: one model for all).

    Where a training finds one class only, the previous model stays in use. Each model is calibrated on the
    out-of-sample predictions of earlier models whose labels are known: held-out folds of the history, then the walk
    itself. `on_progress` gets the rows done and the rows to do. Raises TrainingError where `start` has too little
    history or no model can be trained.
    """
    if retrain_every < 0:
        raise ValueError(f"retrain_every must not be negative, but is {retrain_every}")
    known = examples(recipe, market)
    _check_start(recipe, known, start)
    walk = _Walk.empty(len(market))
    if recipe.calibration is not Method.NONE:
        walk.hold_out(recipe, known, start)
    trainings: list[Training] = []
    model, failure = None, None
    for first, end in _blocks(start, len(market), retrain_every):
        rows = rows_known(recipe, known, at=first)
        try:
            model = fit(recipe, known.matrix[rows], known.labels.values[rows])
            trainings.append(_training(model, known, rows, first))
        except OneClassOnly as error:
            failure = error
        if model is not None:
            walk.fill(model, walk.calibration(recipe, known, first), known, first, end)
        if on_progress is not None:
            on_progress(end - start, len(market) - start)
    if failure is not None and model is None:
        raise failure
    return OutOfSample(walk.probabilities, walk.baseline, tuple(trainings))


@dataclass(frozen=True, slots=True)
class _Walk:
    """`raw` (n, 3) are the out-of-sample predictions, before the start too, on which later models are calibrated."""

    raw: Array
    probabilities: Array
    baseline: Array

    @classmethod
    def empty(cls, rows: int) -> "_Walk":
        return cls(*(np.full((rows, CLASSES), np.nan) for _ in range(3)))

    def hold_out(self, recipe: Recipe, known: Examples, start: int) -> None:
        """Held-out predictions for the history; none where it is too short."""
        with suppress(TrainingError):
            held = hold_out(recipe, known, start)
            self.raw[held.rows] = held.raw

    def calibration(self, recipe: Recipe, known: Examples, at: int) -> Calibration:
        closed = known.until(at).labels.values != UNKNOWN
        rows = np.flatnonzero(closed & ~np.isnan(self.raw[: at + 1, 0]))
        return fit_calibration(recipe.calibration, self.raw[rows], known.labels.values[rows])

    def fill(self, model: TrainedModel, calibration: Calibration, known: Examples, first: int, end: int) -> None:
        self.raw[first:end] = model.probabilities(known.matrix[first:end])
        self.probabilities[first:end] = calibration.apply(self.raw[first:end])
        self.baseline[first:end] = np.where(known.complete[first:end, None], model.class_shares, np.nan)


def score_walk(recipe: Recipe, market: pd.DataFrame, walk: OutOfSample) -> Score:
    """The score of a walk over a market frame, with the labels of the recipe."""
    return score(walk.probabilities, walk.baseline, examples(recipe, market).labels.values, recipe.horizon)


def _blocks(start: int, size: int, retrain_every: int) -> Iterator[tuple[int, int]]:
    step = retrain_every or size - start
    for first in range(start, size, step):
        yield first, min(first + step, size)


def _check_start(recipe: Recipe, known: Examples, start: int) -> None:
    size = len(known.times)
    if not 0 <= start < size:
        raise TrainingError(f"row {start} does not exist in a market of {size} candles")
    rows = rows_known(recipe, known, at=start).size
    if rows < MINIMUM_ROWS:
        raise TrainingError(
            f"{rows} rows to train on up to candle {start}, but at least {MINIMUM_ROWS} are needed: "
            f"{MINIMUM_ROWS - rows} more candles of history, after those that warm up the indicators"
        )


def _training(model: TrainedModel, known: Examples, rows: Rows, first: int) -> Training:
    return Training(
        row=first,
        rows_trained=model.rows,
        first_time=known.times[rows[0]],
        last_time=known.times[rows[-1]],
        class_counts=model.class_counts,
    )
