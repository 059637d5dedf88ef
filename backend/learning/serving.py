"""Models at work: the newest version for a market, kept warm, asked about one snapshot at a time."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import QuerySet

from engine.features import FEATURES, feature_vector
from engine.indicators import Array
from engine.orders import Action
from engine.snapshot import Snapshot
from learning.choice import ModelChoice
from learning.models import ModelVersion
from learning.services import load_version
from learning.training import Model
from market.models import Symbol

logger = logging.getLogger(__name__)


def versions_named(name: str) -> "QuerySet[ModelVersion]":
    """The versions of a model (`learning.choice.ModelChoice` as text), newest first."""
    choice = ModelChoice.named(name)
    versions = ModelVersion.objects.filter(algorithm=choice.algorithm)
    return versions.filter(recipe__horizon=choice.horizon, recipe__window=choice.window).order_by("-pk")


def newest_version(symbol: Symbol, interval: str, name: str) -> ModelVersion | None:
    return versions_named(name).filter(symbol=symbol, interval=interval).first()


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

    def answer(self, snapshot: Snapshot, name: str) -> Answer | None:
        """None while no version has been trained. A version is never asked about candles it was trained on."""
        versions = versions_named(name).filter(symbol__symbol=snapshot.symbol, interval=snapshot.interval)
        version = versions.filter(last_time__lt=snapshot.open_time).first()
        return None if version is None else self._ask(version, snapshot)

    def is_warm(self, version: ModelVersion) -> bool:
        return version.pk in self._warm

    def warm(self, version: ModelVersion) -> Model:
        """Fits the model of a version if it is not at hand: seconds that no transaction should be open for."""
        if not self.is_warm(version):
            self._warm[version.pk] = load_version(version)
            logger.info("Using AI model %s", version)
        return self._warm[version.pk]

    def _ask(self, version: ModelVersion, snapshot: Snapshot) -> Answer:
        model = self.warm(version)
        vector = feature_vector(snapshot, model.recipe.form)
        return Answer(
            probabilities=model.probabilities(vector.reshape(1, -1))[0],
            model_type=version.algorithm,
            version=version.content_hash,
            features=dict(zip(FEATURES, vector.tolist(), strict=True)),
        )
