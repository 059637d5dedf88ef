"""Models at work: the newest version for a market, kept warm, asked about one snapshot at a time."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from engine.features import FEATURES, feature_vector
from engine.indicators import Array
from engine.orders import Action
from engine.snapshot import Snapshot
from learning.models import ModelVersion
from learning.services import load_version
from learning.training import Model

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said about one snapshot, with the inputs it saw; probabilities (3,) in the order of Action."""

    probabilities: Array
    model_type: str
    version: str
    features: Mapping[str, float]

    def named_probabilities(self) -> dict[str, float]:
        return {action.name: float(self.probabilities[action]) for action in Action}


class Predictor:
    """Holds one model for each version it was asked for; a newer version is noticed at the next question."""

    def __init__(self) -> None:
        self._warm: dict[int, Model] = {}

    def answer(self, snapshot: Snapshot, model_type: str) -> Answer | None:
        """None while no version has been trained. A version is never asked about candles it was trained on."""
        version = (
            ModelVersion.objects.filter(
                symbol__symbol=snapshot.symbol,
                interval=snapshot.interval,
                algorithm=model_type,
                last_time__lt=snapshot.open_time,
            )
            .order_by("-pk")
            .first()
        )
        return None if version is None else self._ask(version, snapshot)

    def _ask(self, version: ModelVersion, snapshot: Snapshot) -> Answer:
        if version.pk not in self._warm:
            self._warm[version.pk] = load_version(version)
            logger.info("Using AI model %s", version)
        model = self._warm[version.pk]
        vector = feature_vector(snapshot, model.recipe.form)
        return Answer(
            probabilities=model.probabilities(vector.reshape(1, -1))[0],
            model_type=version.algorithm,
            version=version.content_hash,
            features=dict(zip(FEATURES, vector.tolist(), strict=True)),
        )
