"""Predictions for decisions: loaded champions in memory, and the rule-based fallback."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

import numpy as np

from engine import rules
from engine.features import FEATURES, FeatureForm, feature_vector
from engine.indicators import Array
from engine.snapshot import Snapshot
from learning.models import ModelVersion
from learning.registry.selectors import serving_candidates
from learning.registry.stored import ModelUnusable, StoredModel, load

logger = logging.getLogger(__name__)

# A promotion takes effect within this time; until then a prediction needs no query.
LOOKUP_SECONDS = 0.5
# About 2 MB each.
MOST_WARM = 128


@dataclass(frozen=True, slots=True)
class Prediction:
    """Calibrated `probabilities` (3,) in the order of Action for one snapshot, and `raw` ones before calibration.

    `features` are the inputs by name; `version` is the content hash of `model`, which is None for rules.
    """

    probabilities: Array
    model_type: str
    version: str
    features: Mapping[str, float]
    raw: Array | None = None
    model: StoredModel | None = None


def rule_prediction(snapshot: Snapshot) -> Prediction:
    """The prediction of fixed rules, where no model can be used."""
    vector = feature_vector(snapshot, FeatureForm.CLASSIC)
    probabilities = np.asarray(rules.probabilities(vector.reshape(1, -1))[0])
    features = dict(zip(FEATURES, vector.tolist(), strict=True))
    return Prediction(probabilities, rules.MODEL_TYPE, rules.VERSION, features, raw=probabilities)


@dataclass(slots=True)
class _Lookup:
    """The cached candidates of a market, the champion first, and when they were looked up."""

    time: float
    candidates: list[ModelVersion]


class Predictor:
    """Predicts with the champion of a market, or with an earlier one where it cannot be loaded."""

    def __init__(self) -> None:
        self._warm: OrderedDict[int, StoredModel] = OrderedDict()
        self._unusable: dict[int, str] = {}
        self._lookups: dict[tuple[str, str, str], _Lookup] = {}

    def predict(self, snapshot: Snapshot, name: str) -> Prediction | None:
        """None where no version can be used. A version is never used on candles it was trained on."""
        model = self.model_for(snapshot, name)
        if model is None:
            return None
        vector = feature_vector(snapshot, model.form)
        raw = model.raw(vector.reshape(1, -1))
        return Prediction(
            probabilities=model.calibrated(raw)[0],
            model_type=model.version.algorithm,
            version=model.version.content_hash,
            features=dict(zip(FEATURES, vector.tolist(), strict=True)),
            raw=raw[0],
            model=model,
        )

    def model_for(self, snapshot: Snapshot, name: str) -> StoredModel | None:
        for version in self._candidates(snapshot, name):
            if (model := self.usable(version)) is not None:
                return model
        return None

    def usable(self, version: ModelVersion) -> StoredModel | None:
        """The loaded version, or None, with a log line, where it must not be used."""
        try:
            return self.warm(version)
        except ModelUnusable as error:
            # Logged once and not at every candle.
            if self._unusable.get(version.pk) != str(error):
                self._unusable[version.pk] = str(error)
                logger.error("AI model %s cannot serve: %s", version, error)
            return None

    def is_warm(self, version: ModelVersion) -> bool:
        return version.pk in self._warm

    def warm(self, version: ModelVersion) -> StoredModel:
        """The version from memory, or loaded. Raises ModelUnusable."""
        if (model := self._warm.get(version.pk)) is None:
            model = load(version)
            logger.info("Using AI model %s", version)
            self._warm[version.pk] = model
            while len(self._warm) > MOST_WARM:
                self._warm.popitem(last=False)
        self._warm.move_to_end(version.pk)
        return model

    def _candidates(self, snapshot: Snapshot, name: str) -> list[ModelVersion]:
        market = snapshot.symbol, snapshot.interval, name
        cached, now = self._lookups.get(market), monotonic()
        # Candidates for one candle were not trained on later ones either; an older candle needs another lookup.
        is_fresh = cached is not None and now - cached.time < LOOKUP_SECONDS
        if cached and is_fresh and cached.candidates and cached.candidates[0].last_time < snapshot.open_time:
            return cached.candidates
        found = serving_candidates(*market, before=snapshot.open_time)
        self._lookups[market] = _Lookup(now, found)
        if cached and cached.candidates and found and cached.candidates[0].pk != found[0].pk:
            # A replaced champion leaves the memory.
            self._warm.pop(cached.candidates[0].pk, None)
        return found
