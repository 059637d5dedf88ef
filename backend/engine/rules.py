"""The rule-based fallback where no model can be used: trend, RSI and MACD.

Each has a score from -1 (sell) to 1 (buy) and a weight. Starting at HOLD, a score moves its weight towards BUY or SELL,
so that the scores are the contributions, and BUY or SELL reaches one half only if two rules agree. The rules have no
proven skill.
"""

from dataclasses import dataclass

import numpy as np

from engine.decide import choose
from engine.features import FEATURES
from engine.indicators import Array
from engine.orders import Action
from engine.reasons import Counterfactual, action_of

MODEL_TYPE = "rule_based"
VERSION = "rules-1"
"""Changes with every change of a rule."""

TREND_WEIGHT, RSI_WEIGHT, MACD_WEIGHT = 0.4, 0.3, 0.3

RSI_REACH = 20.0
"""RSI 50 scores 0, 30 scores 1 (BUY) and 70 scores -1 (SELL)."""

MACD_REACH = 0.2
"""A MACD histogram of a fifth of the 20-candle volatility has the full score."""

TREND, STRENGTH, RSI, MACD, VOLATILITY = (
    FEATURES.index(name) for name in ("trend", "strength", "rsi14", "macd_hist", "volatility")
)

BASE = np.array([0.0, 1.0, 0.0])
GRID = 101


def scores(matrix: Array) -> Array:
    """The weighted scores (n, 4) of trend, strength, RSI and MACD for (n, 14) features in their classic form.

    Half of a trend's weight is its direction, the other half grows with its strength.
    """
    trend, volatility = matrix[:, TREND], matrix[:, VOLATILITY]
    reach = MACD_REACH * volatility
    macd = np.divide(matrix[:, MACD], reach, out=np.zeros(len(matrix)), where=reach > 0)
    return np.column_stack([
        0.5 * TREND_WEIGHT * trend,
        0.5 * TREND_WEIGHT * trend * matrix[:, STRENGTH],
        RSI_WEIGHT * np.clip((50.0 - matrix[:, RSI]) / RSI_REACH, -1.0, 1.0),
        MACD_WEIGHT * np.clip(macd, -1.0, 1.0),
    ])  # fmt: skip


def probabilities(matrix: Array) -> Array:
    """(n, 3) in the order SELL, HOLD, BUY for (n, 14) features in their classic form."""
    weighted = scores(matrix)
    sell, buy = np.maximum(-weighted, 0.0).sum(axis=1), np.maximum(weighted, 0.0).sum(axis=1)
    return np.column_stack([sell, 1.0 - sell - buy, buy])


@dataclass(frozen=True)
class RuleReasons:
    """The reasons for the rules' prediction of a row (14,) (`engine.reasons.Reasons`)."""

    vector: Array

    @property
    def raw(self) -> Array:
        return np.asarray(probabilities(self.vector[None, :])[0])

    @property
    def base(self) -> Array:
        return BASE

    @property
    def contributions(self) -> Array:
        """(14, 3)."""
        found = np.zeros((len(FEATURES), len(Action)))
        weighted = scores(self.vector[None, :])[0]
        places = [TREND, STRENGTH, RSI, MACD]
        found[places, Action.SELL] = np.maximum(-weighted, 0.0)
        found[places, Action.BUY] = np.maximum(weighted, 0.0)
        found[places, Action.HOLD] = -np.abs(weighted)
        return found

    def counterfactual(self, threshold: float) -> Counterfactual | None:
        """Found by a search over a grid of values of each feature."""
        now = action_of(self.raw, threshold)
        found = [
            change
            for place, values, usual in self._changes()
            if (change := self._nearest(place, values, usual, now, threshold)) is not None
        ]
        return min(found, key=lambda change: change.distance, default=None)

    def _changes(self) -> list[tuple[int, Array, float]]:
        """Feature, its possible values, and the size of a usual change."""
        reach = MACD_REACH * float(self.vector[VOLATILITY])
        return [
            (TREND, np.array([-1.0, 0.0, 1.0]), 1.0),
            (STRENGTH, np.linspace(0.0, 1.0, GRID), 0.5),
            (RSI, np.linspace(0.0, 100.0, GRID), RSI_REACH),
            *([(MACD, np.linspace(-reach, reach, GRID), reach)] if reach > 0 else []),
        ]

    def _nearest(self, place: int, values: Array, usual: float, now: int, threshold: float) -> Counterfactual | None:
        was = float(self.vector[place])
        changed = np.tile(self.vector, (values.size, 1))
        changed[:, place] = values
        outcomes = probabilities(changed)
        actions, _ = choose(outcomes, threshold)
        changing = np.flatnonzero(actions != now)
        if not changing.size:
            return None
        nearest = changing[np.argmin(np.abs(values[changing] - was))]
        value, action = float(values[nearest]), Action(int(actions[nearest]))
        return Counterfactual(FEATURES[place], was, value, abs(value - was) / usual, action, outcomes[nearest])
