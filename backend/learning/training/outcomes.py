"""What came of positions, as labels: a candle on which money was really made or lost says more than the move after it.

The candle on which a position was decided on is labelled BUY where the completed pair of BUY and SELL has earned
something after all costs. Where it has not, a label that says BUY becomes HOLD: the move was there, but not to be had.
SELL and HOLD stay, because selling was right or nothing was to be gained. Nothing else is changed, and challengers are
compared on the plain labels, so that no model gains by this but by foretelling better.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean

import numpy as np
import pandas as pd

from engine.labels import UNKNOWN, Labels
from engine.orders import Action
from learning.training.examples import Examples


@dataclass(frozen=True, slots=True)
class Outcome:
    """A completed position that was decided on at the candle of `open_time`; `profit` is net, a share of its cost."""

    open_time: datetime
    profit: float


def with_outcomes(known: Examples, outcomes: Iterable[Outcome]) -> Examples:
    """Several positions of one candle count as their mean. Open labels stay open."""
    values = known.labels.values.copy()
    for time, profit in _means(outcomes).items():
        place = int(known.times.searchsorted(pd.Timestamp(time)))
        if place == len(known.times) or known.times[place] != time or values[place] == UNKNOWN:
            continue
        if profit > 0:
            values[place] = Action.BUY
        elif values[place] == Action.BUY:
            values[place] = Action.HOLD
    if np.array_equal(values, known.labels.values):
        return known
    return replace(known, labels=Labels(values, known.labels.ends))


def _means(outcomes: Iterable[Outcome]) -> dict[datetime, float]:
    found: dict[datetime, list[float]] = defaultdict(list)
    for outcome in outcomes:
        found[outcome.open_time].append(outcome.profit)
    return {time: fmean(profits) for time, profits in found.items()}
