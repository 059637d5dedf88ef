"""Explanations of tree models: contributions of the features, and counterfactuals.

Contributions follow the decision path of the row through each tree: a split changes the expected value of a node to
that of a child, and the change is attributed to the feature of the split (Ando Saabas, Interpreting random forests,
2014). The changes along a path telescope, so that base and contributions add up to the prediction. TreeSHAP (Lundberg
et al., 2020) distributes interactions more evenly, but takes milliseconds instead of a fraction of one.

Boosted trees add up to scores. Their contributions to probabilities are Aumann-Shapley values: the integral of the
gradient of the softmax along the straight line from the base scores to those of the row (Aumann and Shapley, Values of
Non-Atomic Games, 1974; as "integrated gradients" Sundararajan, Taly and Yan, 2017). They do not depend on the order of
trees or features, and add up to the probability.

A counterfactual is the smallest change of one feature that changes the action.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil

import numpy as np

from engine.decide import choose
from engine.features import FEATURES
from engine.indicators import Array
from engine.orders import NO_DECISION, Action
from engine.reasons import Counterfactual, action_of
from learning.trees.expected import ExpectedTrees
from learning.trees.forest import LEAF, Integers, softmax

Probabilities = Callable[[Array], Array]
"""From the features (14,) of one row to the calibrated probabilities (3,)."""

DISCRETE = np.isin(FEATURES, ("trend", "rsi_state", "sma_cross"))
"""Features that are -1, 0 or 1."""

States = tuple[Integers, Integers, Integers, Array, Array]
"""Alternative paths: tree, node, changed feature, and the interval (low, high] of the changed feature."""

_NONE = np.empty(0, dtype=np.int64)
_NO_STATES: States = (_NONE, _NONE, _NONE, np.empty(0), np.empty(0))

# The error of 24 Gauss-Legendre points is below 1e-12 for a softmax whose scores change by at most this.
LONGEST_PIECE = 4.0
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(24)

# The search adds values in another order than the model, which can differ in the last bits: each result is verified.
MOST_TRIED = 25


@dataclass(frozen=True)
class Explanation:
    """The explanation of one prediction (`engine.reasons.Reasons`).

    `base` (3,) and `contributions` (14, 3) add up to `raw` (3,), the uncalibrated probabilities. `spread` (14,) is the
    usual change of each feature. `probabilities` is the model with its calibration.
    """

    vector: Array
    raw: Array
    base: Array
    contributions: Array
    spread: Array
    probabilities: Probabilities
    calibrate: Callable[[Array], Array]
    paths: "DecisionPaths" = field(repr=False)

    def counterfactual(self, threshold: float) -> Counterfactual | None:
        """The smallest change of one feature that changes the action at a threshold; None where no single one does.

        It is verified with the model.
        """
        now = action_of(self.probabilities(self.vector), threshold)
        if now == NO_DECISION:
            return None
        changes = self._changes
        actions, _ = choose(changes.probabilities, threshold)
        changing = np.flatnonzero((actions != now) & (actions != NO_DECISION))
        nearest = changing[np.argsort(changes.distance[changing], kind="stable")[:MOST_TRIED]]
        for row in nearest.tolist():
            changed = self.vector.copy()
            feature = int(changes.feature[row])
            changed[feature] = changes.value[row]
            probabilities = self.probabilities(changed)
            if (action := action_of(probabilities, threshold)) not in (now, NO_DECISION):
                was, value = float(self.vector[feature]), float(changed[feature])
                distance = float(changes.distance[row])
                return Counterfactual(FEATURES[feature], was, value, distance, Action(action), probabilities)
        return None

    @cached_property
    def _changes(self) -> "SingleChanges":
        feature, value, outputs = self.paths.changes()
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.abs(value - self.vector[feature]) / self.spread[feature]
        # A feature without spread was constant in training: no change of it is usual.
        possible = np.isfinite(distance)
        probabilities = self.calibrate(self.paths.trees.probabilities(outputs[possible]))
        return SingleChanges(feature[possible], value[possible], distance[possible], probabilities)


@dataclass(frozen=True, slots=True)
class SingleChanges:
    """n changes of one feature each, with the calibrated probabilities (n, 3) after them."""

    feature: Integers
    value: Array
    distance: Array
    probabilities: Array


def explain(
    trees: ExpectedTrees,
    vector: Array,
    spread: Array,
    probabilities: Probabilities,
    calibrate: Callable[[Array], Array] = np.asarray,
) -> Explanation:
    """The explanation of a row (14,); `calibrate` maps raw probabilities (n, 3) to those of `probabilities`."""
    paths = DecisionPaths(trees, vector)
    base, shares = trees.base, paths.contributions()
    if trees.is_softmax:
        shares, base = _aumann_shapley(base, shares), softmax(base[None, :])[0]
    raw = trees.probabilities(paths.outputs[None, :])[0]
    return Explanation(vector, raw, base, shares, spread, probabilities, calibrate, paths)


class DecisionPaths:
    """The paths of a row through all trees, and its alternative paths if one feature is changed."""

    def __init__(self, trees: ExpectedTrees, vector: Array) -> None:
        self.trees = trees
        # Splits compare float32.
        self.compared = vector.astype(np.float32).astype(np.float64)
        self._steps: list[tuple[Integers, Array]] = []
        self._branches: list[States] = []
        self.own = self._own_leaves()
        self.outputs = trees.offset + trees.value[self.own].sum(axis=0)

    def contributions(self) -> Array:
        """(14, 3): the sum of the value changes at the splits on each feature."""
        features = np.concatenate([feature for feature, _ in self._steps] or [np.empty(0, dtype=np.int64)])
        moves = np.concatenate([move for _, move in self._steps] or [np.empty((0, len(Action)))])
        columns = [np.bincount(features, moves[:, action], len(FEATURES)) for action in Action]
        return np.column_stack(columns)

    def changes(self) -> tuple[Integers, Array, Array]:
        """All changes of one feature that lead to other leaves: feature, nearest value, and the sums of values (n, 3).

        The sum is a step function of one feature: a leaf counts from `low` of its interval to `high`.
        """
        tree, leaf, changed, low, high = self._alternative_leaves()
        gain = self.trees.value.take(leaf, axis=0) - self.trees.value.take(self.own.take(tree), axis=0)
        place, feature = np.concatenate([low, high]), np.concatenate([changed, changed])
        order = place.argsort()
        # int8 sorts by counting, which is fastest.
        order = order.take(feature.take(order).astype(np.int8).argsort(kind="stable"))
        place, feature = place.take(order), feature.take(order)
        outputs = self.outputs + np.cumsum(np.concatenate([gain, -gain]).take(order, axis=0), axis=0)
        same = feature[1:] == feature[:-1]
        low, high, feature, outputs = place[:-1], place[1:], feature[:-1], outputs[:-1]
        step = same & (low < high)
        low, high, feature, outputs = low[step], high[step], feature[step], outputs.compress(step, axis=0)
        value = self._nearest(feature, low, high)
        inside = (value > low) & (value <= high) & (value != self.compared[feature])
        return feature[inside], value[inside], outputs[inside]

    def _nearest(self, feature: Integers, low: Array, high: Array) -> Array:
        """The value in (low, high] nearest to the present one of the feature; NaN where the interval contains that."""
        above, below = low >= self.compared[feature], high < self.compared[feature]
        discrete = DISCRETE[feature]
        up = np.where(discrete, np.floor(low) + 1.0, _single_above(low))
        down = np.where(discrete, np.floor(high), _single_below(high))
        value = np.where(above, up, np.where(below, down, np.nan))
        return np.where(discrete & (np.abs(value) > 1.0), np.nan, value)

    def _own_leaves(self) -> Integers:
        """The leaf of the row in each tree; records each step, and the state of the other branch of each split."""
        trees, count = self.trees, self.trees.roots.size
        tree, node, leaf = np.arange(count), trees.roots, trees.roots.copy()
        # The interval of each feature so far, one row of features for each tree.
        lows, highs = np.full(count * len(FEATURES), -np.inf), np.full(count * len(FEATURES), np.inf)
        while True:
            split = trees.feature.take(node)
            inner = np.flatnonzero(split != LEAF)
            if not inner.size:
                return leaf
            tree, node, split = tree.take(inner), node.take(inner), split.take(inner)
            threshold, left, right = trees.threshold.take(node), trees.left.take(node), trees.right.take(node)
            goes_left, place = self.compared.take(split) <= threshold, tree * len(FEATURES) + split
            low, high = lows.take(place), highs.take(place)
            narrow = goes_left & (threshold < high) | ~goes_left & (low < threshold)
            taken, other = np.where(goes_left, left, right), np.where(goes_left, right, left)
            self._steps.append((split, trees.value.take(taken, axis=0) - trees.value.take(node, axis=0)))
            beyond = np.where(goes_left, threshold, low), np.where(goes_left, high, threshold)
            state = (tree, other, split, *beyond)
            self._branches.append(state if narrow.all() else _rows(state, np.flatnonzero(narrow)))
            highs[place] = np.where(goes_left, np.minimum(high, threshold), high)
            lows[place] = np.where(goes_left, low, np.maximum(low, threshold))
            leaf[tree] = node = taken

    def _alternative_leaves(self) -> States:
        """All leaves that a change of one feature leads to: below the split, that feature may take either branch."""
        trees, reached = self.trees, [_NO_STATES]
        state = _joined([_NO_STATES, *self._branches])
        while state[0].size:
            split = trees.feature.take(state[1])
            reached.append(_rows(state, np.flatnonzero(split == LEAF)))
            inner = np.flatnonzero(split != LEAF)
            (tree, node, changed, low, high), split = _rows(state, inner), split.take(inner)
            threshold, free = trees.threshold.take(node), changed == split
            goes_left = self.compared.take(split) <= threshold
            left = np.flatnonzero(np.where(free, low < threshold, goes_left))
            right = np.flatnonzero(np.where(free, threshold < high, ~goes_left))
            high_left = np.where(free, np.minimum(high, threshold), high).take(left)
            low_right = np.where(free, np.maximum(low, threshold), low).take(right)
            both = np.concatenate([left, right])
            state = (
                tree.take(both),
                np.concatenate([trees.left.take(node.take(left)), trees.right.take(node.take(right))]),
                changed.take(both),
                np.concatenate([low.take(left), low_right]),
                np.concatenate([high_left, high.take(right)]),
            )
        return _joined(reached)


def _joined(states: list[States]) -> States:
    tree, node, changed, low, high = (np.concatenate(part) for part in zip(*states, strict=True))
    return tree, node, changed, low, high


def _rows(state: States, rows: Integers) -> States:
    tree, node, changed, low, high = state
    return tree.take(rows), node.take(rows), changed.take(rows), low.take(rows), high.take(rows)


def _aumann_shapley(base: Array, shares: Array) -> Array:
    """Contributions to scores (14, 3) as contributions to probabilities (14, 3)."""
    total = shares.sum(axis=0)
    pieces = max(ceil(float(np.ptp(total)) / LONGEST_PIECE), 1)
    starts = np.arange(pieces)[:, None] / pieces
    places = (starts + (POINTS + 1.0) / (2.0 * pieces)).ravel()
    weights = np.tile(WEIGHTS / (2.0 * pieces), pieces)
    p = softmax(base + places[:, None] * total)
    # The derivative of p_c by score k is p_c * (1 if c is k else 0) - p_c * p_k.
    gradient = np.diag(weights @ p) - (p * weights[:, None]).T @ p
    return np.asarray(shares @ gradient)


def _single_above(low: Array) -> Array:
    """The smallest float32 above."""
    rounded = low.astype(np.float32)
    up = np.nextafter(rounded, np.float32(np.inf))
    return np.where(rounded.astype(np.float64) > low, rounded, up).astype(np.float64)


def _single_below(high: Array) -> Array:
    """The largest float32 that is not above."""
    rounded = high.astype(np.float32)
    down = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded.astype(np.float64) > high, down, rounded).astype(np.float64)
