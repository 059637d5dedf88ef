"""Labels: SELL, HOLD or BUY from the following price move, with the last candle that each label uses."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.indicators import Array
from engine.orders import Action

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Labels:
    """`values[i]` is an Action, or UNKNOWN; it depends on the candles i + 1 to `ends[i]`, both included."""

    values: npt.NDArray[np.int8]
    ends: npt.NDArray[np.int64]


def forward_labels(close: Array, horizon: int, threshold: float | Array) -> Labels:
    """BUY where the close rises by more than the threshold over the next `horizon` candles, SELL where it falls by
    more.

    The threshold is a fraction of the price (0.005 is 0.5 %), one for all rows or one for each. The last `horizon`
    rows are UNKNOWN.
    """
    if horizon < 1:
        raise ValueError("a label looks at least one candle ahead")
    if np.any(np.asarray(threshold) < 0):
        raise ValueError("a threshold must not be negative")
    values = np.full(close.size, UNKNOWN, dtype=np.int8)
    known = max(close.size - horizon, 0)
    move = close[horizon:] / close[:known] - 1.0
    limit = np.broadcast_to(threshold, close.shape)[:known]
    values[:known] = np.where(move > limit, Action.BUY, np.where(move < -limit, Action.SELL, Action.HOLD))
    return Labels(values, np.arange(close.size, dtype=np.int64) + horizon)
