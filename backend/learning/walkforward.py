"""Predictions as they would have been made at the time: trained on the past, used on what came next, trained again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.indicators import Array
from engine.validation import Rows
from learning.examples import Examples, examples, rows_known
from learning.recipes import Recipe
from learning.training import CLASSES, MINIMUM_ROWS, Model, OneClassOnly, TrainingError, fit

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

    `probabilities` (n, 3) are the models' answers in the order SELL, HOLD, BUY; `baseline` (n, 3) are the class
    frequencies among the training rows of the model that answered.
    """

    probabilities: Array
    baseline: Array
    trainings: tuple[Training, ...]


def out_of_sample_probabilities(
    recipe: Recipe, market: pd.DataFrame, start: int, retrain_every: int, on_progress: Progress | None = None
) -> OutOfSample:
    """Probabilities for the rows from `start` on, with a new model every `retrain_every` rows (0: one model for all).

    A training that finds one class only leaves the model before it in use. `on_progress` is told the rows done and
    the rows to do. Raises TrainingError when `start` has too little history or when no model could be trained at all.
    """
    if retrain_every < 0:
        raise ValueError(f"retrain_every must not be negative, but is {retrain_every}")
    known = examples(recipe, market)
    _check_start(recipe, known, start)
    answers = _Answers.empty(len(market))
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
            answers.fill(model, known, first, end)
        if on_progress is not None:
            on_progress(end - start, len(market) - start)
    if failure is not None and model is None:
        raise failure
    return OutOfSample(answers.probabilities, answers.baseline, tuple(trainings))


@dataclass(frozen=True, slots=True)
class _Answers:
    probabilities: Array
    baseline: Array

    @classmethod
    def empty(cls, rows: int) -> "_Answers":
        return cls(np.full((rows, CLASSES), np.nan), np.full((rows, CLASSES), np.nan))

    def fill(self, model: Model, known: Examples, first: int, end: int) -> None:
        self.probabilities[first:end] = model.probabilities(known.matrix[first:end])
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
