"""Train and test splits without look-ahead: ordered in time, purged and embargoed.

Source: Marcos Lopez de Prado, Advances in Financial Machine Learning, 2018, chapter 7.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.labels import UNKNOWN, Labels

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers to train on and to test on; every training label was known before the first test row."""

    train: Rows
    test: Rows


def trainable_rows(labels: Labels, complete: npt.NDArray[np.bool_], at: int, embargo: int = 0) -> Rows:
    """The rows that may train a model first used at the close of candle `at`.

    Their features are complete, and the last candle of their label closed at least `embargo` candles before `at`.
    """
    rows: Rows = np.arange(min(at + 1, labels.values.size), dtype=np.int64)
    known = complete[rows] & (labels.values[rows] != UNKNOWN) & (labels.ends[rows] <= at - embargo)
    chosen: Rows = rows[known]
    return chosen


def walk_forward(labels: Labels, complete: npt.NDArray[np.bool_], folds: int, embargo: int = 0) -> list[Fold]:
    """Up to `folds` tests of equal size, each after its training rows; the first part is for training only.

    Training rows whose label reaches into the test, or into the `embargo` candles before it, are purged. Folds without
    training or test rows are left out.
    """
    if folds < 1:
        raise ValueError("a walk-forward needs at least one fold")
    usable = np.flatnonzero(complete & (labels.values != UNKNOWN))
    parts = np.array_split(usable, folds + 1)
    found = []
    for test in parts[1:]:
        if test.size == 0:
            continue
        train = trainable_rows(labels, complete, int(test[0]) - 1, embargo)
        if train.size:
            found.append(Fold(train, test))
    return found
