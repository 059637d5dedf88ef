"""Predictions as they would have been made at the time: trained on the past, used on what came next, trained again."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.indicators import Array
from engine.labels import UNKNOWN
from engine.validation import Rows
from learning.training.calibration import Calibration, Method, fit_calibration
from learning.training.examples import Examples, examples, rows_known
from learning.training.fit import CLASSES, MINIMUM_ROWS, Model, OneClassOnly, TrainingError, fit
from learning.training.held_out import hold_out
from learning.training.recipes import Recipe

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Training:
    """A model's first use at the close of candle `row`, and what it was trained on: candles named by open time.

    `class_counts` are the training rows labelled SELL, HOLD and BUY. The labels look as far as candle `row`.
    """

    row: int
    rows_trained: int
    first_time: pd.Timestamp
    last_time: pd.Timestamp
    class_counts: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """One row per candle, NaN where no model existed yet or a feature is missing.

    `probabilities` (n, 3) are the models' answers in the order SELL, HOLD, BUY, calibrated as those of a model at work
    are; `baseline` (n, 3) are the class frequencies among the training rows of the model that answered.
    """

    probabilities: Array
    baseline: Array
    trainings: tuple[Training, ...]


def out_of_sample_probabilities(
    recipe: Recipe, market: pd.DataFrame, start: int, retrain_every: int, on_progress: Progress | None = None
) -> OutOfSample:
    """Probabilities for the rows from `start` on, with a new model every `retrain_every` rows (0: one model for all).

    A training that finds one class only leaves the model before it in use. Each model is calibrated on all that models
    before it had said of candles they had not seen, as far as the outcome is known: first on held-out folds of the
    history, then on the walk itself too. `on_progress` is told the rows done and the rows to do. Raises TrainingError
    when `start` has too little history or when no model could be trained at all.
    """
    if retrain_every < 0:
        raise ValueError(f"retrain_every must not be negative, but is {retrain_every}")
    known = examples(recipe, market)
    _check_start(recipe, known, start)
    answers = _Answers.empty(len(market))
    if recipe.calibration is not Method.NONE:
        answers.hold_out(recipe, known, start)
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
            answers.fill(model, answers.calibration(recipe, known, first), known, first, end)
        if on_progress is not None:
            on_progress(end - start, len(market) - start)
    if failure is not None and model is None:
        raise failure
    return OutOfSample(answers.probabilities, answers.baseline, tuple(trainings))


@dataclass(frozen=True, slots=True)
class _Answers:
    """`raw` (n, 3) holds what models said of rows they had not seen, before the start too; it calibrates the next."""

    raw: Array
    probabilities: Array
    baseline: Array

    @classmethod
    def empty(cls, rows: int) -> "_Answers":
        return cls(*(np.full((rows, CLASSES), np.nan) for _ in range(3)))

    def hold_out(self, recipe: Recipe, known: Examples, start: int) -> None:
        """Answers to the history. One that is too short to hold a part of it back calibrates nothing."""
        with suppress(TrainingError):
            held = hold_out(recipe, known, start)
            self.raw[held.rows] = held.raw

    def calibration(self, recipe: Recipe, known: Examples, at: int) -> Calibration:
        closed = known.until(at).labels.values != UNKNOWN
        rows = np.flatnonzero(closed & ~np.isnan(self.raw[: at + 1, 0]))
        return fit_calibration(recipe.calibration, self.raw[rows], known.labels.values[rows])

    def fill(self, model: Model, calibration: Calibration, known: Examples, first: int, end: int) -> None:
        self.raw[first:end] = model.probabilities(known.matrix[first:end])
        self.probabilities[first:end] = calibration.apply(self.raw[first:end])
        self.baseline[first:end] = np.where(known.complete[first:end, None], model.class_shares, np.nan)


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


def _training(model: Model, known: Examples, rows: Rows, first: int) -> Training:
    return Training(
        row=first,
        rows_trained=model.rows,
        first_time=known.times[rows[0]],
        last_time=known.times[rows[-1]],
        class_counts=model.class_counts,
    )
