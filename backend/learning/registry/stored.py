"""From a row of the registry to a model that answers, checked on the way. scikit-learn stays out of it."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.features import FEATURE_VERSION, FEATURES, FeatureForm
from engine.indicators import Array
from learning.explanation.contributions import Trees
from learning.models import ModelArtefact, ModelVersion
from learning.registry.content import content_hash
from learning.training.calibration import Calibration, CalibrationError
from learning.training.fit import TrainingError
from learning.trees.artefacts import ArtefactError, Scorer, content
from learning.trees.forest import Forest


class ModelUnusable(TrainingError):
    """A stored version that must not answer."""


class TamperedModel(ModelUnusable):
    """What is stored of a version is not what was registered."""


class OldFeatures(ModelUnusable):
    """A version that learned from features as they were once computed."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A version, loaded: `raw` is what its trees say, `calibrated` what is decided on."""

    version: ModelVersion
    form: FeatureForm
    scorer: Scorer
    calibration: Calibration
    spread: Array
    trees: Trees

    @property
    def forest(self) -> Forest:
        return self.scorer.forest

    def raw(self, matrix: Array) -> Array:
        """(n, 3) for (n, 14) features; one row and a batch give the same bits."""
        return self.scorer.probabilities(matrix)

    def calibrated(self, raw: Array) -> Array:
        return self.calibration.apply(raw)


def load(version: ModelVersion) -> StoredModel:
    """Raises ModelUnusable: TamperedModel where a hash differs, OldFeatures where the definitions have changed."""
    features: dict[str, Any] = version.features
    stored = ModelArtefact.objects.filter(version=version).first()
    if stored is None:
        raise ModelUnusable(f"{version} has no artefact: it was registered before artefacts were kept; train it anew")
    artefact = _unpacked(version, bytes(stored.content))
    if content(artefact) != version.artefact_hash or content_hash(manifest(version)) != version.content_hash:
        raise TamperedModel(f"{version} is not what was registered: its content has another hash")
    if features["version"] != FEATURE_VERSION or features["names"] != list(FEATURES):
        raise OldFeatures(
            f"{version} learned from version {features['version']} of the features, "
            f"which are computed as version {FEATURE_VERSION} today; train it anew"
        )
    try:
        scorer = Scorer.load(artefact)
        return StoredModel(
            version=version,
            form=FeatureForm(features["form"]),
            scorer=scorer,
            calibration=Calibration.from_json(version.calibration),
            spread=np.array(version.profile["spread"]),
            trees=Trees.of(scorer.forest),
        )
    except (ArtefactError, CalibrationError) as error:
        raise ModelUnusable(f"{version} cannot be loaded: {error}") from error


def manifest(version: ModelVersion) -> dict[str, Any]:
    """All that the answers of a version depend on, as `learning.training.making.Made.manifest` has it."""
    return {
        "symbol": version.symbol.symbol,
        "interval": version.interval,
        "recipe": version.recipe,
        "features": version.features,
        "class_counts": version.class_counts,
        "first_time": version.first_time.isoformat(),
        "last_time": version.last_time.isoformat(),
        "data": version.data_hash,
        "artefact": version.artefact_hash,
        "calibration": version.calibration,
    }


def _unpacked(version: ModelVersion, packed: bytes) -> bytes:
    try:
        return zlib.decompress(packed)
    except zlib.error as error:
        raise TamperedModel(f"{version} is not what was registered: its content is damaged ({error})") from error
