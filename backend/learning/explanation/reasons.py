"""Why an answer is what it is, and a decision on it what it is: once for all accounts with the same threshold."""

from typing import Any, NamedTuple

import numpy as np

from engine import rules
from engine.indicators import Array
from engine.orders import Action
from engine.reasons import Reasons, action_of, explanation, rule_of, spoken
from learning.explanation.contributions import explain
from learning.registry.serving import Answer


class Explained(NamedTuple):
    """`words` follow those of `engine.decide.reasoning`; `facts` are stored with the decision."""

    words: str
    facts: dict[str, Any]


def reasons_of(answer: Answer) -> Reasons | None:
    """None where neither rules nor a stored model gave the answer."""
    vector = np.array(list(answer.features.values()))
    if answer.model_type == rules.MODEL_TYPE:
        return rules.RuleReasons(vector)
    if answer.model is None:
        return None
    model = answer.model

    def ask(changed: Array) -> Array:
        return np.asarray(model.calibrated(model.raw(changed.reshape(1, -1)))[0])

    return explain(model.trees, vector, model.spread, ask, model.calibrated)


def explained(answer: Answer, reasons: Reasons | None, threshold: float) -> Explained:
    """The decision on an answer that is complete, at a threshold."""
    rule = rule_of(answer.probabilities, threshold)
    flip = None if reasons is None else reasons.flip(threshold)
    facts = explanation(answer.probabilities, answer.features, reasons, rule, flip)
    if reasons is None:
        return Explained("", facts)
    return Explained(spoken(Action(action_of(answer.probabilities, threshold)), reasons, flip), facts)
