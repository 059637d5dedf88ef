"""From candles to everything that a version in the registry holds. Nothing is stored or logged.

The same recipe and candles give the same artefact, to the last byte, in any process.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from engine.features import FEATURE_VERSION, FEATURES
from engine.indicators import Array
from engine.snapshot import market_frame
from engine.terms import Costs
from engine.validation import Rows
from learning.scores.drift import profile
from learning.scores.evaluation import scores
from learning.training.calibration import Calibration
from learning.training.examples import Examples, PositionOutcome, examples, rows_known, with_outcomes
from learning.training.fit import TrainedModel, TrainingError, fit
from learning.training.held_out import calibration_of, hold_out
from learning.training.recipes import Recipe
from learning.training.search import search
from learning.trees.artefacts import Scorer, to_onnx

LARGEST_DIFFERENCE = 1e-6
ROWS_COMPARED = 2000


class UnfaithfulArtefact(TrainingError):
    """The stored form gives other probabilities than the trained model."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """`last_time` is the last candle of the history: the model must not be used on it or on earlier ones.

    `data_hash` is that of the training features and labels; `scores` is empty where the history is too short to hold a
    part of it out.
    """

    recipe: Recipe
    features: Mapping[str, Any]
    profile: Mapping[str, Any]
    class_counts: tuple[int, int, int]
    first_time: datetime
    last_time: datetime
    data_hash: str
    artefact: bytes
    calibration: Calibration
    scores: Mapping[str, Any]


def train_and_score(
    recipe: Recipe, candles: pd.DataFrame, searched: bool = False, outcomes: Sequence[PositionOutcome] = ()
) -> TrainingResult:
    """A model trained on a candle frame, scored out of sample and calibrated; `searched` searches the recipe first.

    Outcomes of positions change training labels and not the scores. Raises TrainingError.
    """
    market = market_frame(candles)
    known = examples(recipe, market)
    at = len(candles) - 1
    found = search(recipe, known, rows_known(recipe, known, at)) if searched else None
    recipe = recipe if found is None else found.recipe
    rows, learned = rows_known(recipe, known, at), with_outcomes(known, outcomes)
    model = fit(recipe, learned.matrix[rows], learned.labels.values[rows])
    artefact = to_onnx(model.scorer.forest)
    check_faithful(model, artefact, unseen_rows(known, rows, recipe.seed))
    calibration, scored = _scored(recipe, market, known)
    if found is not None:
        scored = {**scored, "search": found.to_json()}
    return TrainingResult(
        recipe=recipe,
        features={"form": recipe.form.value, "version": FEATURE_VERSION, "names": list(FEATURES)},
        profile=profile(known.matrix[rows]).to_json(),
        class_counts=model.class_counts,
        first_time=candles.index[0].to_pydatetime(),
        last_time=candles.index[-1].to_pydatetime(),
        data_hash=_data_hash(learned, rows),
        artefact=artefact,
        calibration=calibration,
        scores=scored,
    )


def check_faithful(model: TrainedModel, artefact: bytes, matrix: Array) -> None:
    """Compares the loaded artefact with scikit-learn on (n, 14) features. Raises UnfaithfulArtefact."""
    stored, expected = Scorer.load(artefact).probabilities(matrix), model.library_probabilities(matrix)
    difference = float(np.abs(stored - expected).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise UnfaithfulArtefact(
            f"the probabilities of the stored {model.recipe.algorithm} differ by up to {difference:.2g} from those of "
            f"the trained model; {LARGEST_DIFFERENCE:g} is allowed"
        )


def unseen_rows(known: Examples, rows: Rows, seed: int) -> Array:
    """Rows that the model was not trained on: the newest, whose labels are open, and random ones.

    Each feature of a random row comes from another candle, so that it reaches other leaves than training rows.
    """
    newest = np.setdiff1d(np.flatnonzero(known.complete), rows)[-ROWS_COMPARED:]
    random = np.random.default_rng(seed)
    drawn = random.choice(rows, (ROWS_COMPARED, known.matrix.shape[1]))
    return np.vstack([known.matrix[newest], np.take_along_axis(known.matrix, drawn, axis=0)])


def _scored(recipe: Recipe, market: pd.DataFrame, known: Examples) -> tuple[Calibration, dict[str, Any]]:
    try:
        held = hold_out(recipe, known)
    except TrainingError:
        # Long enough to train a model, but too short to hold a part out.
        return Calibration(), {}
    return calibration_of(recipe, held), scores(market, held, Costs(), recipe.horizon, recipe.seed).to_json()


def _data_hash(known: Examples, rows: Rows) -> str:
    data = hashlib.sha256(np.ascontiguousarray(known.matrix[rows]).tobytes())
    data.update(np.ascontiguousarray(known.labels.values[rows]).tobytes())
    return data.hexdigest()
