"""Reasons for predictions and decisions, once for all accounts with the same threshold."""

from typing import Any, NamedTuple

import numpy as np

from engine import rules
from engine.indicators import Array
from engine.orders import Action
from engine.reasons import Reasons, action_of, explanation, reason_text, rule_of
from learning.explanation.contributions import explain
from learning.registry.serving import Prediction


class Explained(NamedTuple):
    """`words` are appended to the text of `engine.decide.reasoning`; `facts` are stored with the decision."""

    words: str
    facts: dict[str, Any]


def reasons_of(prediction: Prediction) -> Reasons | None:
    """None for a prediction that neither the rules nor a stored model made."""
    vector = np.array(list(prediction.features.values()))
    if prediction.model_type == rules.MODEL_TYPE:
        return rules.RuleReasons(vector)
    if prediction.model is None:
        return None
    model = prediction.model

    def probabilities(changed: Array) -> Array:
        return np.asarray(model.calibrated(model.raw(changed.reshape(1, -1)))[0])

    return explain(model.trees, vector, model.spread, probabilities, model.calibrated)


def explained(prediction: Prediction, reasons: Reasons | None, threshold: float) -> Explained:
    """The explanation of the decision on a complete prediction at a threshold."""
    rule = rule_of(prediction.probabilities, threshold)
    change = None if reasons is None else reasons.counterfactual(threshold)
    facts = explanation(prediction.probabilities, prediction.features, reasons, rule, change)
    if reasons is None:
        return Explained("", facts)
    return Explained(reason_text(Action(action_of(prediction.probabilities, threshold)), reasons, change), facts)
