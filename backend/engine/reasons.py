"""Explanations of decisions: contributions of the features, the rule that applied, and a counterfactual."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from engine.decide import choose
from engine.features import FEATURES
from engine.indicators import Array
from engine.orders import NO_DECISION, Action

DRIVERS = 3
SMALLEST_DRIVER = 0.005
"""Smaller contributions are left out of the text."""


class RuleCode(StrEnum):
    REACHED = "reached_threshold"
    """BUY or SELL is the most probable class and reaches the threshold."""

    BELOW = "below_threshold"
    """BUY or SELL is the most probable class, but does not reach the threshold."""

    HOLD = "hold_is_likeliest"
    TIED = "tied"
    """Two or three classes are equally probable."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The comparison that determined the action, and its threshold."""

    code: RuleCode
    threshold: float
    text: str

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code.value, "threshold": self.threshold, "text": self.text}


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """With `value` instead of `was` for the feature `name`, and all else equal, the action is `action`.

    `distance` is in usual changes of the feature, which makes features comparable; `probabilities` (3,) are those after
    the change.
    """

    name: str
    was: float
    value: float
    distance: float
    action: Action
    probabilities: Array


class Reasons(Protocol):
    """The reasons for one prediction: `base` (3,) and `contributions` (14, 3) add up to `raw` (3,).

    `raw` are the probabilities before calibration; decisions use the calibrated ones of the prediction.
    """

    @property
    def raw(self) -> Array: ...

    @property
    def base(self) -> Array: ...

    @property
    def contributions(self) -> Array: ...

    def counterfactual(self, threshold: float) -> Counterfactual | None:
        """The smallest change of one feature that changes the action at a threshold; None where no single one does."""


@lru_cache(maxsize=1024)
def _rule(sell: float, hold: float, buy: float, threshold: float) -> Rule:
    probabilities = np.array([[sell, hold, buy]])
    actions, confidence = choose(probabilities, threshold)
    best = max(sell, hold, buy)
    likeliest = [action for action in Action if probabilities[0, action] == best]
    if len(likeliest) > 1:
        names = " and ".join(action.name for action in likeliest)
        return Rule(RuleCode.TIED, threshold, f"{names} are equally likely ({best:.4f})")
    name = likeliest[0].name
    if actions[0] != Action.HOLD:
        text = f"{name} ({confidence[0]:.4f}) is the likeliest and reaches the threshold of {threshold:g}"
        return Rule(RuleCode.REACHED, threshold, text)
    if likeliest[0] is Action.HOLD:
        return Rule(RuleCode.HOLD, threshold, f"HOLD ({best:.4f}) is the likeliest")
    text = f"{name} ({best:.4f}) is the likeliest, but below the threshold of {threshold:g}"
    return Rule(RuleCode.BELOW, threshold, text)


def rule_of(probabilities: Array, threshold: float) -> Rule:
    """The rule of `choose` that applied to (SELL, HOLD, BUY). Raises ValueError for NaN: there is no decision."""
    if action_of(probabilities, threshold) == NO_DECISION:
        raise ValueError("no rule applies without a prediction")
    sell, hold, buy = probabilities.tolist()
    return _rule(sell, hold, buy, threshold)


def action_of(probabilities: Array, threshold: float) -> int:
    """The action chosen on one row (3,), or NO_DECISION."""
    actions, _ = choose(probabilities.reshape(1, len(Action)), threshold)
    return int(actions[0])


def drivers(contributions: Array) -> list[tuple[str, float]]:
    """The features with the largest contributions (14,) to one class, by absolute value."""
    order = np.argsort(-np.abs(contributions), kind="stable")[:DRIVERS].tolist()
    return [
        (FEATURES[place], float(contributions[place]))
        for place in order
        if abs(contributions[place]) >= SMALLEST_DRIVER
    ]


def reason_text(action: Action, reasons: Reasons, change: Counterfactual | None) -> str:
    """The main contributions and the counterfactual, to be appended to the text of `decide.reasoning`."""
    largest = [f"{name} ({share:+.2f})" for name, share in drivers(reasons.contributions[:, action])]
    text = f". Driven by {', '.join(largest)}" if largest else ""
    if change is not None:
        text += f". {change.action.name} if {change.name} were {change.value:.4g} instead of {change.was:.4g}"
    return text


def explanation(
    probabilities: Array,
    features: Mapping[str, float],
    reasons: Reasons | None,
    rule: Rule,
    change: Counterfactual | None,
) -> dict[str, Any]:
    """The explanation of a decision as JSON. `contributions` are those to the chosen action, by feature."""
    known: dict[str, Any] = {"probabilities": named(probabilities), "features": features}
    if reasons is None:
        return {**known, "explanation": {"rule": rule.as_json()}}
    chosen = reasons.contributions[:, action_of(probabilities, rule.threshold)]
    known["contributions"] = dict(zip(FEATURES, chosen.tolist(), strict=True))
    return {**known, "explanation": _in_full(reasons, rule, change)}


def _in_full(reasons: Reasons, rule: Rule, change: Counterfactual | None) -> dict[str, Any]:
    """`contributions` to each class are lists in the order of FEATURES."""
    return {
        "raw_probabilities": named(reasons.raw),
        "base": named(reasons.base),
        "contributions": {action.name: reasons.contributions[:, action].tolist() for action in Action},
        "rule": rule.as_json(),
        "counterfactual": None
        if change is None
        else {
            "feature": change.name,
            "from": change.was,
            "to": change.value,
            "distance": change.distance,
            "decision": change.action.name,
            "probabilities": named(change.probabilities),
        },
    }


def named(probabilities: Array) -> dict[str, float]:
    return {action.name: float(probabilities[action]) for action in Action}
