"""An answer where no model can give one: three rules of thumb, marked as what they are."""

import numpy as np

from engine import rules
from engine.features import FEATURES, FeatureForm, feature_vector
from engine.snapshot import Snapshot
from learning.registry.serving import Answer


def rule_answer(snapshot: Snapshot) -> Answer:
    vector = feature_vector(snapshot, FeatureForm.CLASSIC)
    probabilities = np.asarray(rules.probabilities(vector.reshape(1, -1))[0])
    return Answer(
        probabilities=probabilities,
        model_type=rules.MODEL_TYPE,
        version=rules.VERSION,
        features=dict(zip(FEATURES, vector.tolist(), strict=True)),
        raw=probabilities,
    )
