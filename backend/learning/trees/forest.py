"""The trees of a trained model in plain arrays, independent of scikit-learn.

Leaf values are rounded to multiples of a power of two: fine enough for probabilities, and coarse enough that float64
adds them without rounding, so that a sum has the same bits in any order and for any number of rows.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, exp, frexp, log2
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.features import FEATURES
from engine.indicators import Array
from engine.orders import Action

Integers = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]

LEAF = -1
CLASSES = len(Action)

# float32 represents every integer up to this.
LARGEST_WHOLE_SINGLE = 2**24

LARGEST_FEATURE = float(np.finfo(np.float32).max)

# The score of a class that no training row was labelled with: exp gives exactly 0.
IMPOSSIBLE = -1e4


class ForestError(ValueError):
    """Arrays that are not trees, or trees without an exact stored form."""


class Link(StrEnum):
    MEAN = "mean"
    """The mean of the trees is the probability."""

    SOFTMAX = "softmax"
    """The sum of the trees plus the offset are scores; their softmax is the probability."""


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """The nodes of all trees, tree by tree, parents before children; `feature`, `left` and `right` are LEAF at leaves.

    A row, as float32, goes left where its feature is at most the threshold. `leaves` (nodes, 3) are the values for
    SELL, HOLD and BUY, multiples of 2 ** `exponent`, and 0 at inner nodes. `cover` is the weight of the training rows
    that reached a node. The sum over the trees times `weight`, plus `offset` (3,), gives probabilities by `link`.
    """

    link: Link
    roots: Integers
    feature: Integers
    threshold: Singles
    left: Integers
    right: Integers
    leaves: Array
    cover: Singles
    offset: Array
    exponent: int

    def __post_init__(self) -> None:
        nodes, trees = len(self.feature), len(self.roots)
        lengths = {len(part) for part in (self.threshold, self.left, self.right, self.leaves, self.cover)}
        if not trees or lengths != {nodes} or self.leaves.shape != (nodes, CLASSES) or self.offset.shape != (CLASSES,):
            raise ForestError("the arrays of a forest differ in length")
        if self.roots[0] != 0 or (np.diff(self.roots, append=nodes) < 1).any():
            raise ForestError("the roots of a forest must increase from the first node on")
        self._check_nodes(np.repeat(np.append(self.roots[1:], nodes), np.diff(self.roots, append=nodes)))
        numbers = (self.leaves, self.cover, self.offset, self.threshold[self.feature != LEAF])
        if not all(np.isfinite(part).all() for part in numbers):
            raise ForestError("a forest holds a number that is not finite")
        whole = np.ldexp(self.leaves, -self.exponent)
        if (whole != np.rint(whole)).any():
            raise ForestError("the value of a leaf is not a multiple of the unit")

    def _check_nodes(self, ends: Integers) -> None:
        """Every child comes after its only parent, in the same tree, so that every path ends."""
        inner = self.feature != LEAF
        if (self.feature < LEAF).any() or (self.feature >= len(FEATURES)).any():
            raise ForestError("a split on a feature that does not exist")
        if (self.left[~inner] != LEAF).any() or (self.right[~inner] != LEAF).any() or self.leaves[inner].any():
            raise ForestError("a leaf has children, or an inner node a value")
        above = np.flatnonzero(inner)
        children = np.concatenate([self.left[inner], self.right[inner]])
        if (children <= np.tile(above, 2)).any() or (children >= np.tile(ends[inner], 2)).any():
            raise ForestError("a child does not come after its parent in the same tree")
        with_parent = np.sort(np.concatenate([self.roots, children]))
        if not np.array_equal(with_parent, np.arange(len(self.feature))):
            raise ForestError("a node has no parent, or two")

    @property
    def trees(self) -> int:
        return len(self.roots)

    @property
    def weight(self) -> float:
        return 1.0 / self.trees if self.link is Link.MEAN else 1.0

    def probabilities(self, sums: Array) -> Array:
        """(n, 3) from the exact sums of the leaves (n, 3); one row and a batch give the same bits."""
        if self.link is Link.MEAN:
            return np.asarray(sums / self.trees)
        return softmax(self.offset + sums)

    @classmethod
    def of(cls, estimator: Any) -> "Forest":
        """The trees of a fitted scikit-learn forest, gradient boosting or histogram boosting of the classes 0, 1, 2."""
        name = type(estimator).__name__
        if name == "RandomForestClassifier":
            return _of_random_forest(estimator)
        if name == "GradientBoostingClassifier":
            return _of_gradient_boosting(estimator)
        if name == "HistGradientBoostingClassifier":
            return _of_histogram_boosting(estimator)
        raise ForestError(f"{name} has no stored form")


def complete_rows(matrix: Array) -> npt.NDArray[np.bool_]:
    """(n,) whether all features of a row (n, 14) are finite as float32."""
    return np.asarray((np.abs(matrix) <= LARGEST_FEATURE).all(axis=1))


def single_precision(matrix: Array) -> Singles:
    """Features (n, 14) as float32, for training, serving and explanation alike.

    Histogram boosting would otherwise train on float64, and a stored model, which compares float32, could take the
    other side of a threshold.
    """
    return matrix.astype(np.float32)


def softmax(scores: Array) -> Array:
    """Probabilities (n, 3) from scores (n, 3).

    Exponentials are computed one by one, because numpy's vectorised ones may give other bits at the end of an array
    than in its middle; the sum is taken column by column, in an order that does not depend on the number of rows.
    """
    shifted = scores - scores.max(axis=1, keepdims=True)
    powers = np.fromiter(map(exp, shifted.ravel().tolist()), np.float64, shifted.size).reshape(scores.shape)
    total = powers[:, 0] + powers[:, 1] + powers[:, 2]
    return np.asarray(powers / total[:, None])


def digit_bits(trees: int) -> int:
    """How many bits an integer may have so that the sum of one per tree is exact in float32."""
    return ceil(log2(LARGEST_WHOLE_SINGLE)) - ceil(log2(trees))


@dataclass(frozen=True, slots=True)
class _Tree:
    """`values` (nodes, 3) are used at the leaves only."""

    feature: Integers
    threshold: Array
    left: Integers
    right: Integers
    values: Array
    cover: Array


def _of_random_forest(estimator: Any) -> Forest:
    trees = []
    for member in estimator.estimators_:
        tree = member.tree_
        values = np.zeros((tree.node_count, CLASSES))
        values[:, estimator.classes_] = tree.value[:, 0, :]
        trees.append(_of_tree(tree, values))
    return _joined(Link.MEAN, trees, np.zeros(CLASSES))


def _of_gradient_boosting(estimator: Any) -> Forest:
    columns = _columns(estimator)
    trees = []
    for stage in estimator.estimators_:
        for column, member in zip(columns, stage, strict=True):
            tree = member.tree_
            values = np.zeros((tree.node_count, CLASSES))
            values[:, column] = estimator.learning_rate * tree.value[:, 0, 0]
            trees.append(_of_tree(tree, values))
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))
    return _joined(Link.SOFTMAX, trees, _offset(estimator, start.ravel()))


def _of_histogram_boosting(estimator: Any) -> Forest:
    columns = _columns(estimator)
    trees = []
    for stage in estimator._predictors:
        for column, predictor in zip(columns, stage, strict=True):
            nodes = predictor.nodes
            is_leaf = nodes["is_leaf"].astype(bool)
            if nodes["is_categorical"].any():
                raise ForestError("a split on categories has no stored form")
            values = np.zeros((len(nodes), CLASSES))
            values[:, column] = nodes["value"]
            trees.append(
                _Tree(
                    feature=np.where(is_leaf, LEAF, nodes["feature_idx"]),
                    threshold=nodes["num_threshold"],
                    left=np.where(is_leaf, LEAF, nodes["left"].astype(np.int64)),
                    right=np.where(is_leaf, LEAF, nodes["right"].astype(np.int64)),
                    values=values,
                    cover=nodes["count"],
                )
            )
    return _joined(Link.SOFTMAX, trees, _offset(estimator, np.ravel(estimator._baseline_prediction)))


def _columns(estimator: Any) -> list[int]:
    """The class that each tree of a stage scores; of two classes only the second is scored."""
    classes: list[int] = estimator.classes_.tolist()
    return classes if len(classes) > 2 else classes[1:]


def _offset(estimator: Any, start: Array) -> Array:
    offset = np.full(CLASSES, IMPOSSIBLE)
    offset[estimator.classes_] = 0.0
    offset[_columns(estimator)] = start
    return offset


def _of_tree(tree: Any, values: Array) -> _Tree:
    is_leaf = tree.children_left == LEAF
    feature = np.where(is_leaf, LEAF, tree.feature)
    return _Tree(feature, tree.threshold, tree.children_left, tree.children_right, values, tree.weighted_n_node_samples)


def _joined(link: Link, trees: list[_Tree], offset: Array) -> Forest:
    roots = np.cumsum([0] + [len(tree.feature) for tree in trees[:-1]], dtype=np.int64)
    feature = np.concatenate([tree.feature for tree in trees]).astype(np.int64)
    inner = feature != LEAF
    leaves = np.concatenate([tree.values for tree in trees])
    leaves[inner] = 0.0
    leaves, exponent = _rounded(leaves, len(trees))
    if link is Link.MEAN:
        # The most frequent class of a leaf takes the rounding error, so that its three probabilities add up to 1.
        rows, most_frequent = np.flatnonzero(~inner), leaves[~inner].argmax(axis=1)
        leaves[rows, most_frequent] += 1.0 - leaves[rows].sum(axis=1)
    shifted = [
        np.concatenate(
            [np.where(side == LEAF, LEAF, side + root) for side, root in zip(sides, roots.tolist(), strict=True)]
        )
        for sides in ([tree.left for tree in trees], [tree.right for tree in trees])
    ]
    threshold = np.where(inner, np.concatenate([tree.threshold for tree in trees]), 0.0)
    return Forest(
        link=link,
        roots=roots,
        feature=feature,
        threshold=_single_below(threshold),
        left=shifted[0].astype(np.int64),
        right=shifted[1].astype(np.int64),
        leaves=leaves,
        cover=np.concatenate([tree.cover for tree in trees]).astype(np.float32),
        offset=offset,
        exponent=exponent,
    )


def _single_below(threshold: Array) -> Singles:
    """The largest float32 that is not above: the same float32 features are at most either threshold."""
    single = threshold.astype(np.float32)
    return np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single).astype(np.float32)


def _rounded(leaves: Array, trees: int) -> tuple[Array, int]:
    """Leaves as multiples of 2 ** exponent: two digits of `digit_bits` each hold the largest one."""
    _, largest = frexp(float(np.abs(leaves).max()))
    exponent = largest - 2 * digit_bits(trees)
    return np.ldexp(np.rint(np.ldexp(leaves, -exponent)), exponent), exponent
