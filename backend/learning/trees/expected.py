"""Trees with the expected value of every node, as explanations need them."""

from dataclasses import dataclass

import numpy as np

from engine.indicators import Array
from learning.trees.forest import LEAF, Forest, Integers, Link, softmax


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedTrees:
    """A forest whose inner nodes have values too: the mean of the leaves below, weighted by their training rows.

    `value` (nodes, 3), summed over the leaves that a row reaches and added to `offset` (3,), gives the probabilities of
    the row, or with `is_softmax` the scores whose softmax they are.
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
    def of(cls, forest: Forest) -> "ExpectedTrees":
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
        return cls(
            roots=forest.roots,
            feature=forest.feature,
            threshold=forest.threshold.astype(np.float64),
            left=forest.left,
            right=forest.right,
            value=value * forest.weight,
            offset=forest.offset,
            is_softmax=forest.link is Link.SOFTMAX,
        )

    def probabilities(self, outputs: Array) -> Array:
        """Probabilities (n, 3) from sums of values (n, 3)."""
        return softmax(outputs) if self.is_softmax else outputs

    @property
    def base(self) -> Array:
        """The sum of values (3,) before any split is known."""
        return np.asarray(self.offset + self.value[self.roots].sum(axis=0))
