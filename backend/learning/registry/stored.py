"""Stored versions: their content hash, and loading them with every check. scikit-learn is not needed."""

import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.features import FEATURE_VERSION, FEATURES, FeatureForm
from engine.indicators import Array
from learning.models import ModelArtefact, ModelVersion
from learning.training.calibration import Calibration, CalibrationError
from learning.training.fit import TrainingError
from learning.trees.artefacts import ArtefactError, Scorer, artefact_hash
from learning.trees.expected import ExpectedTrees
from learning.trees.forest import Forest


class ModelUnusable(TrainingError):
    """A stored version that must not be used."""


class TamperedModel(ModelUnusable):
    """What is stored of a version is not what was registered."""


class OldFeatures(ModelUnusable):
    """A version trained on an older definition of the features."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A loaded version; `spread` (14,) is the usual change of each feature (`learning.scores.drift.Profile`)."""

    version: ModelVersion
    form: FeatureForm
    scorer: Scorer
    calibration: Calibration
    spread: Array
    trees: ExpectedTrees

    @property
    def forest(self) -> Forest:
        return self.scorer.forest

    def raw(self, matrix: Array) -> Array:
        """Uncalibrated probabilities (n, 3) for (n, 14) features; one row and a batch give the same bits."""
        return self.scorer.probabilities(matrix)

    def calibrated(self, raw: Array) -> Array:
        """The probabilities (n, 3) that decisions are made on."""
        return self.calibration.apply(raw)


def manifest(version: ModelVersion) -> dict[str, Any]:
    """Everything that the probabilities of a version depend on; not its scores and its profile."""
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


def content_hash(version: ModelVersion) -> str:
    """SHA-256 of the manifest: any changed input gives another hash."""
    return hashlib.sha256(json.dumps(manifest(version), sort_keys=True).encode()).hexdigest()


def load(version: ModelVersion) -> StoredModel:
    """Raises ModelUnusable: TamperedModel where a hash differs, OldFeatures where the definitions have changed."""
    features: dict[str, Any] = version.features
    stored = ModelArtefact.objects.filter(version=version).first()
    if stored is None:
        raise ModelUnusable(f"{version} has no artefact: it was registered before artefacts were kept; train it anew")
    try:
        artefact = zlib.decompress(bytes(stored.content))
    except zlib.error as error:
        raise TamperedModel(f"{version} is not what was registered: its content is damaged ({error})") from error
    if artefact_hash(artefact) != version.artefact_hash or content_hash(version) != version.content_hash:
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
            trees=ExpectedTrees.of(scorer.forest),
        )
    except (ArtefactError, CalibrationError) as error:
        raise ModelUnusable(f"{version} cannot be loaded: {error}") from error
