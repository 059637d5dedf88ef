"""From candles to all that a version in the registry is made of. Pure: nothing is read, stored or logged.

The same recipe and the same candles give the same artefact, to the last byte, in any process.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from engine.features import FEATURE_VERSION, FEATURES
from engine.indicators import Array
from engine.snapshot import market_frame
from engine.terms import Costs
from engine.validation import Rows
from learning.artefacts import Scorer, content, to_onnx
from learning.calibration import Calibration
from learning.drift import profile
from learning.evaluation import scores
from learning.examples import Examples, examples, rows_known
from learning.held_out import calibration_of, hold_out
from learning.outcomes import Outcome, with_outcomes
from learning.recipes import Recipe
from learning.search import search
from learning.training import Model, TrainingError, fit

LARGEST_DIFFERENCE = 1e-6
ROWS_COMPARED = 2000


class UnfaithfulArtefact(TrainingError):
    """What would be stored answers otherwise than what was trained."""


@dataclass(frozen=True, slots=True)
class Made:
    """`last_time` is the newest candle that a label looked at or could have: the model must not be asked about it.

    `data_hash` stands for the features and labels that were learned from; `scores` is empty where the history is too
    short to hold a part of it back.
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

    def manifest(self, symbol: str, interval: str) -> dict[str, Any]:
        """What `learning.content.content_hash` is taken of: scores and profile decide nothing that a model says."""
        return {
            "symbol": symbol,
            "interval": interval,
            "recipe": asdict(self.recipe),
            "features": dict(self.features),
            "class_counts": list(self.class_counts),
            "first_time": self.first_time.isoformat(),
            "last_time": self.last_time.isoformat(),
            "data": self.data_hash,
            "artefact": content(self.artefact),
            "calibration": self.calibration.to_json(),
        }


def make_model(recipe: Recipe, candles: pd.DataFrame, searched: bool = False, outcomes: Sequence[Outcome] = ()) -> Made:
    """A model trained on a candle frame, scored out of sample and calibrated; `searched` looks for better trees first.

    It learns from what came of positions, too; it is scored on the moves alone. Raises TrainingError.
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
    return Made(
        recipe=recipe,
        features={"form": recipe.form.value, "version": FEATURE_VERSION, "names": list(FEATURES)},
        profile=_profile(known.matrix[rows]),
        class_counts=model.class_counts,
        first_time=candles.index[0].to_pydatetime(),
        last_time=candles.index[-1].to_pydatetime(),
        data_hash=_data_hash(learned, rows),
        artefact=artefact,
        calibration=calibration,
        scores=scored,
    )


def check_faithful(model: Model, artefact: bytes, matrix: Array) -> None:
    """Loads the artefact as a worker would and compares it with scikit-learn. Raises UnfaithfulArtefact."""
    told, expected = Scorer.load(artefact).probabilities(matrix), model.library_probabilities(matrix)
    difference = float(np.abs(told - expected).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise UnfaithfulArtefact(
            f"the stored form of this {model.recipe.algorithm} answers up to {difference:.2g} otherwise than the "
            f"model that was trained; {LARGEST_DIFFERENCE:g} is allowed"
        )


def unseen_rows(known: Examples, rows: Rows, seed: int) -> Array:
    """Rows that the model was not trained on: the newest, whose labels are open, and made ones.

    In the made ones each feature is that of another candle: they go where no row of the training went.
    """
    newest = np.setdiff1d(np.flatnonzero(known.complete), rows)[-ROWS_COMPARED:]
    random = np.random.default_rng(seed)
    drawn = random.choice(rows, (ROWS_COMPARED, known.matrix.shape[1]))
    return np.vstack([known.matrix[newest], np.take_along_axis(known.matrix, drawn, axis=0)])


def _scored(recipe: Recipe, market: pd.DataFrame, known: Examples) -> tuple[Calibration, dict[str, Any]]:
    try:
        held = hold_out(recipe, known)
    except TrainingError:
        # A history that carries a model, but too short to hold a part of it back: nobody knows how good it is.
        return Calibration(), {}
    return calibration_of(recipe, held), scores(recipe, market, held, Costs()).to_json()


def _profile(matrix: Array) -> dict[str, Any]:
    found = profile(matrix)
    return {
        "edges": [edges.tolist() for edges in found.edges],
        "shares": [shares.tolist() for shares in found.shares],
        "spread": found.spread.tolist(),
        "limit": found.limit,
    }


def _data_hash(known: Examples, rows: Rows) -> str:
    data = hashlib.sha256(np.ascontiguousarray(known.matrix[rows]).tobytes())
    data.update(np.ascontiguousarray(known.labels.values[rows]).tobytes())
    return data.hexdigest()
