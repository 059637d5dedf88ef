"""Why a model of trees answered as it did: what each feature contributed, and which small change would turn the
action.

A contribution follows the path of the row through each tree: every split moves the expected answer of a node to that
of one of its children, and the feature that was asked about is given the move (Ando Saabas, Interpreting random
forests, 2014). Base and contributions add up to the answer because the moves of a path telescope. TreeSHAP (Lundberg
et al., 2020) shares interactions out more evenly and adds up as well, but takes milliseconds where this takes a
fraction of one, and cannot be checked with pencil and tree.

Boosted trees add up to scores, and the softmax of a sum is no sum. The probability is led from the base scores to the
scores of the row along a straight line, and each feature is given its share of the way at every point of it: the
integral of the softmax's slope (Aumann and Shapley, Values of Non-Atomic Games, 1974; as "integrated gradients"
Sundararajan, Taly and Yan, 2017). It depends on no order of trees or features, and adds up to the probability itself.
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
from engine.reasons import Flip, action_of
from learning.forest import LEAF, Forest, Integers, Link

Ask = Callable[[Array], Array]
"""The probabilities (3,) on which a decision is made, for the features (14,) of one row."""

WHOLE = np.isin(FEATURES, ("trend", "rsi_state", "sma_cross"))
"""Features that are -1, 0 or 1: a trend of a half does not exist."""

States = tuple[Integers, Integers, Integers, Array, Array]
"""Of turned ways: tree, node, turned feature, and the interval (low, high] that this feature has to lie in."""

_NONE = np.empty(0, dtype=np.int64)
_NOWHERE: States = (_NONE, _NONE, _NONE, np.empty(0), np.empty(0))

# Gauss-Legendre with 24 points errs by less than 1e-12 on a softmax whose scores move by no more than this.
LONGEST_PIECE = 4.0
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(24)

# The search adds up in another order than the model. Where a flip rests on the last bits, the next one is looked at.
MOST_TRIED = 25


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """A forest with what is expected at each node before the splits below it are known.

    `value` (nodes, 3), summed over the trees at the leaves of a row and with `offset` (3,), is the probabilities of the
    row, or the scores whose softmax they are.
    """

    roots: Integers
    feature: Integers
    threshold: Array
    left: Integers
    right: Integers
    value: Array
    offset: Array
    is_softmax: bool

    @classmethod
    def of(cls, forest: Forest) -> "Trees":
        return cls(
            roots=forest.roots,
            feature=forest.feature,
            threshold=forest.threshold.astype(np.float64),
            left=forest.left,
            right=forest.right,
            value=_expected(forest) * forest.weight,
            offset=forest.offset,
            is_softmax=forest.link is Link.SOFTMAX,
        )

    def answer(self, outputs: Array) -> Array:
        """Probabilities (n, 3) from sums of values (n, 3)."""
        return softmax(outputs) if self.is_softmax else outputs

    @property
    def base(self) -> Array:
        """The sum of values (3,) before any split is known."""
        return np.asarray(self.offset + self.value[self.roots].sum(axis=0))


def _expected(forest: Forest) -> Array:
    """The value of every node (nodes, 3): the mean of the leaves below it, weighted by the training rows they got."""
    value, cover = forest.leaves.copy(), forest.cover.astype(np.float64)
    levels, level = [], forest.roots
    while level.size:
        inner = level[forest.feature[level] != LEAF]
        levels.append(inner)
        level = np.concatenate([forest.left[inner], forest.right[inner]])
    for inner in reversed(levels):
        left, right = forest.left[inner], forest.right[inner]
        share = (cover[left] / (cover[left] + cover[right]))[:, None]
        value[inner] = share * value[left] + (1.0 - share) * value[right]
    return value


def softmax(scores: Array) -> Array:
    """(n, 3) to (n, 3). For explanations: the last bits of a batch may differ from those of a row."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Explanation:
    """Of one answer. `raw` is what the trees say, `base` (3,) + `contributions` (14, 3) add up to it.

    `spread` (14,) is the size of a usual change of each feature. `ask` is the model itself, calibration and all.
    """

    vector: Array
    raw: Array
    base: Array
    contributions: Array
    spread: Array
    ask: Ask
    calibrate: Callable[[Array], Array]
    walk: "Walk" = field(repr=False)

    def flip(self, threshold: float) -> Flip | None:
        """The smallest change of one feature that changes the action at a threshold; None where no single one does.

        It is applied to the model before it is believed.
        """
        now = action_of(self.ask(self.vector), threshold)
        if now == NO_DECISION:
            return None
        turns = self._turns
        actions, _ = choose(turns.probabilities, threshold)
        turned = np.flatnonzero((actions != now) & (actions != NO_DECISION))
        nearest = turned[np.argsort(turns.distance[turned], kind="stable")[:MOST_TRIED]]
        for row in nearest.tolist():
            changed = self.vector.copy()
            feature = int(turns.feature[row])
            changed[feature] = turns.value[row]
            probabilities = self.ask(changed)
            if (action := action_of(probabilities, threshold)) not in (now, NO_DECISION):
                was, value, distance = (
                    float(it) for it in (self.vector[feature], changed[feature], turns.distance[row])
                )
                return Flip(FEATURES[feature], was, value, distance, Action(action), probabilities)
        return None

    @cached_property
    def _turns(self) -> "Turns":
        feature, value, outputs = self.walk.turns()
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.abs(value - self.vector[feature]) / self.spread[feature]
        # A feature without a spread never moved while the model learned: no change of it is usual.
        possible = np.isfinite(distance)
        probabilities = self.calibrate(self.walk.trees.answer(outputs[possible]))
        return Turns(feature[possible], value[possible], distance[possible], probabilities)


@dataclass(frozen=True, slots=True)
class Turns:
    """Changes of one feature, with the calibrated probabilities (n, 3) that the trees give after each."""

    feature: Integers
    value: Array
    distance: Array
    probabilities: Array


def explain(
    trees: Trees, vector: Array, spread: Array, ask: Ask, calibrate: Callable[[Array], Array] = np.asarray
) -> Explanation:
    """Why a model answered a row (14,) as it did; `calibrate` leads from raw probabilities (n, 3) to those of `ask`."""
    walk = Walk(trees, vector)
    base, shares = trees.base, walk.shares()
    if trees.is_softmax:
        shares, base = _along_the_line(base, shares), softmax(base[None, :])[0]
    raw = trees.answer(walk.outputs[None, :])[0]
    return Explanation(vector, raw, base, shares, spread, ask, calibrate, walk)


class Walk:
    """A row on its way through all trees, and the ways it would take if any one of its features were another."""

    def __init__(self, trees: Trees, vector: Array) -> None:
        self.trees = trees
        # As the splits see it.
        self.seen = vector.astype(np.float32).astype(np.float64)
        self._steps: list[tuple[Integers, Array]] = []
        self._turned: list[States] = []
        self.own = self._own_way()
        self.outputs = trees.offset + trees.value[self.own].sum(axis=0)

    def shares(self) -> Array:
        """(14, 3): what the splits on each feature added to the sum of values."""
        features = np.concatenate([feature for feature, _ in self._steps] or [np.empty(0, dtype=np.int64)])
        moves = np.concatenate([move for _, move in self._steps] or [np.empty((0, len(Action)))])
        columns = [np.bincount(features, moves[:, action], len(FEATURES)) for action in Action]
        return np.column_stack(columns)

    def turns(self) -> tuple[Integers, Array, Array]:
        """Every change of one feature that leads to other leaves: feature, its value next to the present one, and the
        sums of values (n, 3) from there on.

        Along one feature the answer is a staircase: an interval adds its leaf at `low` and takes it away after `high`.
        """
        tree, leaf, turned, low, high = self._ways_turned()
        gain = self.trees.value.take(leaf, axis=0) - self.trees.value.take(self.own.take(tree), axis=0)
        place, feature = np.concatenate([low, high]), np.concatenate([turned, turned])
        order = place.argsort()
        # Small integers are sorted by counting them.
        order = order.take(feature.take(order).astype(np.int8).argsort(kind="stable"))
        place, feature = place.take(order), feature.take(order)
        outputs = self.outputs + np.cumsum(np.concatenate([gain, -gain]).take(order, axis=0), axis=0)
        same = feature[1:] == feature[:-1]
        low, high, feature, outputs = place[:-1], place[1:], feature[:-1], outputs[:-1]
        stair = same & (low < high)
        low, high, feature, outputs = low[stair], high[stair], feature[stair], outputs.compress(stair, axis=0)
        value = self._nearest(feature, low, high)
        inside = (value > low) & (value <= high) & (value != self.seen[feature])
        return feature[inside], value[inside], outputs[inside]

    def _nearest(self, feature: Integers, low: Array, high: Array) -> Array:
        """The value of the feature in (low, high] that is nearest to the present one; NaN where a step is around it."""
        above, below = low >= self.seen[feature], high < self.seen[feature]
        whole = WHOLE[feature]
        up = np.where(whole, np.floor(low) + 1.0, _single_above(low))
        down = np.where(whole, np.floor(high), _single_below(high))
        value = np.where(above, up, np.where(below, down, np.nan))
        return np.where(whole & (np.abs(value) > 1.0), np.nan, value)

    def _own_way(self) -> Integers:
        """The leaves of the row, one for each tree; notes each step, and the state that a turn there would lead to."""
        trees, count = self.trees, self.trees.roots.size
        tree, node, leaf = np.arange(count), trees.roots, trees.roots.copy()
        # Between which thresholds each feature lies so far, a row of features for each tree.
        lows, highs = np.full(count * len(FEATURES), -np.inf), np.full(count * len(FEATURES), np.inf)
        while True:
            split = trees.feature.take(node)
            inner = np.flatnonzero(split != LEAF)
            if not inner.size:
                return leaf
            tree, node, split = tree.take(inner), node.take(inner), split.take(inner)
            threshold, left, right = trees.threshold.take(node), trees.left.take(node), trees.right.take(node)
            goes_left, place = self.seen.take(split) <= threshold, tree * len(FEATURES) + split
            low, high = lows.take(place), highs.take(place)
            narrow = goes_left & (threshold < high) | ~goes_left & (low < threshold)
            way, turn = np.where(goes_left, left, right), np.where(goes_left, right, left)
            self._steps.append((split, trees.value.take(way, axis=0) - trees.value.take(node, axis=0)))
            beyond = np.where(goes_left, threshold, low), np.where(goes_left, high, threshold)
            state = (tree, turn, split, *beyond)
            self._turned.append(state if narrow.all() else _rows(state, np.flatnonzero(narrow)))
            highs[place] = np.where(goes_left, np.minimum(high, threshold), high)
            lows[place] = np.where(goes_left, low, np.maximum(low, threshold))
            leaf[tree] = node = way

    def _ways_turned(self) -> States:
        """Every leaf that a turn leads to: the turned feature takes either side, as its interval lets it."""
        trees, reached = self.trees, [_NOWHERE]
        state = _joined([_NOWHERE, *self._turned])
        while state[0].size:
            split = trees.feature.take(state[1])
            reached.append(_rows(state, np.flatnonzero(split == LEAF)))
            inner = np.flatnonzero(split != LEAF)
            (tree, node, turned, low, high), split = _rows(state, inner), split.take(inner)
            threshold, free = trees.threshold.take(node), turned == split
            goes_left = self.seen.take(split) <= threshold
            left = np.flatnonzero(np.where(free, low < threshold, goes_left))
            right = np.flatnonzero(np.where(free, threshold < high, ~goes_left))
            high_left = np.where(free, np.minimum(high, threshold), high).take(left)
            low_right = np.where(free, np.maximum(low, threshold), low).take(right)
            both = np.concatenate([left, right])
            state = (
                tree.take(both),
                np.concatenate([trees.left.take(node.take(left)), trees.right.take(node.take(right))]),
                turned.take(both),
                np.concatenate([low.take(left), low_right]),
                np.concatenate([high_left, high.take(right)]),
            )
        return _joined(reached)


def _joined(states: list[States]) -> States:
    tree, node, turned, low, high = (np.concatenate(part) for part in zip(*states, strict=True))
    return tree, node, turned, low, high


def _rows(state: States, rows: Integers) -> States:
    tree, node, turned, low, high = state
    return tree.take(rows), node.take(rows), turned.take(rows), low.take(rows), high.take(rows)


def _along_the_line(base: Array, shares: Array) -> Array:
    """Shares of scores (14, 3) as shares of probabilities (14, 3), by the integral of the softmax's slope."""
    way = shares.sum(axis=0)
    pieces = max(ceil(float(np.ptp(way)) / LONGEST_PIECE), 1)
    starts = np.arange(pieces)[:, None] / pieces
    places = (starts + (POINTS + 1.0) / (2.0 * pieces)).ravel()
    weights = np.tile(WEIGHTS / (2.0 * pieces), pieces)
    p = softmax(base + places[:, None] * way)
    # The slope of p_c along score k is p_c * (1 if c is k else 0) - p_c * p_k.
    slope = np.diag(weights @ p) - (p * weights[:, None]).T @ p
    return np.asarray(shares @ slope)


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
