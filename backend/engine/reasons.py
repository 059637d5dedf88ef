"""Why a decision is what it is: what each feature contributed, the rule that fired, and what would have changed it."""

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
"""What contributes less is not worth a word."""


class RuleCode(StrEnum):
    REACHED = "reached_threshold"
    """BUY or SELL is likelier than both others and reaches the threshold."""

    BELOW = "below_threshold"
    """BUY or SELL is the likeliest, but does not reach the threshold."""

    HOLD = "hold_is_likeliest"
    TIED = "tied"
    """No class is likelier than both others."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which comparison made the action, at which threshold."""

    code: RuleCode
    threshold: float
    text: str

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code.value, "threshold": self.threshold, "text": self.text}


@dataclass(frozen=True, slots=True)
class Flip:
    """The feature `name` at `value` instead of `was`, all else the same, makes it `action`.

    `distance` counts usual changes of the feature, so that those of different features can be compared.
    """

    name: str
    was: float
    value: float
    distance: float
    action: Action
    probabilities: Array


class Reasons(Protocol):
    """Of one answer: `base` (3,) and `contributions` (14, 3) add up to the probabilities `raw` (3,).

    The probabilities that a decision is made on are calibrated, and stand in the answer.
    """

    @property
    def raw(self) -> Array: ...

    @property
    def base(self) -> Array: ...

    @property
    def contributions(self) -> Array: ...

    def flip(self, threshold: float) -> Flip | None:
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
    """The rule of `choose` that fired on (SELL, HOLD, BUY). Raises ValueError for NaN: nothing was decided."""
    if action_of(probabilities, threshold) == NO_DECISION:
        raise ValueError("no rule fires where the model has no answer")
    sell, hold, buy = probabilities.tolist()
    return _rule(sell, hold, buy, threshold)


def action_of(probabilities: Array, threshold: float) -> int:
    """The action chosen on one row (3,), or NO_DECISION."""
    actions, _ = choose(probabilities.reshape(1, len(Action)), threshold)
    return int(actions[0])


def drivers(contributions: Array) -> list[tuple[str, float]]:
    """The features that moved one class (14,) the most, either way, largest first."""
    order = np.argsort(-np.abs(contributions), kind="stable")[:DRIVERS].tolist()
    return [
        (FEATURES[place], float(contributions[place]))
        for place in order
        if abs(contributions[place]) >= SMALLEST_DRIVER
    ]


def spoken(action: Action, reasons: Reasons, flip: Flip | None) -> str:
    """What drove a decision, in words that follow those of `decide.reasoning`."""
    told = [f"{name} ({share:+.2f})" for name, share in drivers(reasons.contributions[:, action])]
    text = f". Driven by {', '.join(told)}" if told else ""
    if flip is not None:
        text += f". {flip.action.name} if {flip.name} were {flip.value:.4g} instead of {flip.was:.4g}"
    return text


def explanation(
    probabilities: Array, features: Mapping[str, float], reasons: Reasons | None, rule: Rule, flip: Flip | None
) -> dict[str, Any]:
    """Everything about one decision as JSON. `contributions` are those to the action taken, by feature."""
    known: dict[str, Any] = {"probabilities": named(probabilities), "features": features}
    if reasons is None:
        return {**known, "explanation": {"rule": rule.as_json()}}
    chosen = reasons.contributions[:, action_of(probabilities, rule.threshold)]
    known["contributions"] = dict(zip(FEATURES, chosen.tolist(), strict=True))
    return {**known, "explanation": _in_full(reasons, rule, flip)}


def _in_full(reasons: Reasons, rule: Rule, flip: Flip | None) -> dict[str, Any]:
    """`contributions` to each class are lists in the order of FEATURES, which add up with `base` to what is raw."""
    return {
        "raw_probabilities": named(reasons.raw),
        "base": named(reasons.base),
        "contributions": {action.name: reasons.contributions[:, action].tolist() for action in Action},
        "rule": rule.as_json(),
        "flip": None
        if flip is None
        else {
            "feature": flip.name,
            "from": flip.was,
            "to": flip.value,
            "distance": flip.distance,
            "decision": flip.action.name,
            "probabilities": named(flip.probabilities),
        },
    }


def named(probabilities: Array) -> dict[str, float]:
    return {action.name: float(probabilities[action]) for action in Action}
