"""Out-of-sample scores of a recipe beside its baselines, as they are stored with a model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.indicators import Array
from engine.orders import Action
from engine.terms import Costs
from engine.validation import Rows
from learning.scores.economy import Economy, economy
from learning.scores.measures import (
    Interval,
    Measures,
    Predictions,
    Reliability,
    Resampling,
    log_losses,
    mean_interval,
    measures,
    reliability,
)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predictions for rows that their models were not trained on, in time order.

    `rows` (n,) number the candles and `fold` (n,) the models. `calibrated` (n, 3) is fitted on the predictions of
    earlier folds only. `majority` (n, 3) are the class frequencies of the training rows; `previous` (n,) is the newest
    label that was known, and `after_previous` (n, 3) the class frequencies after that label in training.
    """

    rows: Rows
    fold: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int8]
    raw: Array
    calibrated: Array
    majority: Array
    previous: npt.NDArray[np.int8]
    after_previous: Array

    def scored(self) -> "HeldOut":
        """All folds but the first, for which no calibration was known; all where there is one fold only."""
        later = self.fold > self.fold[0]
        return HeldOut(*(getattr(self, name)[later] for name in self.__slots__)) if later.any() else self

    def predictions(self, probabilities: Array) -> Predictions:
        """The most probable class of probabilities (n, 3), such as `calibrated`, `raw` or `majority`."""
        return Predictions.most_probable(self.rows, probabilities, self.truth, self.fold)

    def baselines(self) -> dict[str, Predictions]:
        """`majority`: the most frequent class; `previous_action`: the newest known label; `coin`: a third for each."""
        same = (self.previous == self.truth).astype(np.float64)
        coin = np.full((self.rows.size, len(Action)), 1.0 / len(Action))
        return {
            "majority": self.predictions(self.majority),
            "previous_action": Predictions(self.rows, self.after_previous, same, self.truth, self.fold),
            "coin": Predictions(self.rows, coin, coin[:, Action.HOLD], self.truth, self.fold),
        }


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a purged, embargoed walk-forward over one history, all on the same `rows`.

    `model` is measured on calibrated probabilities, `raw` before calibration. `gain` is the log loss of each baseline
    less that of the model: the model has skill only where the whole interval is above 0. `reliability` holds the
    curves of SELL, HOLD and BUY, `before` and `after` calibration.
    """

    rows: int
    folds: int
    first_time: pd.Timestamp
    last_time: pd.Timestamp
    class_counts: tuple[int, int, int]
    model: Measures
    raw: Measures
    baselines: Mapping[str, Measures]
    gain: Mapping[str, Interval]
    reliability: Mapping[str, tuple[Reliability, ...]]
    economy: Economy

    def to_json(self) -> dict[str, Any]:
        """None where a value is undefined."""
        stored: dict[str, Any] = _plain(asdict(self))
        return stored


def scores(market: pd.DataFrame, held: HeldOut, costs: Costs, horizon: int, seed: int) -> Scores:
    """The scores of held-out predictions; the first fold only calibrates the second where there is a second."""
    scored = held.scored()
    resampling = Resampling(scored.fold, horizon, seed)
    predictions, baselines = scored.predictions(scored.calibrated), scored.baselines()
    sell, hold, buy = np.bincount(scored.truth, minlength=len(Action)).tolist()
    return Scores(
        rows=scored.rows.size,
        folds=len(np.unique(scored.fold)),
        first_time=market.index[scored.rows[0]],
        last_time=market.index[scored.rows[-1]],
        class_counts=(sell, hold, buy),
        model=measures(predictions, resampling),
        raw=measures(scored.predictions(scored.raw), resampling),
        baselines={name: measures(baseline, resampling) for name, baseline in baselines.items()},
        gain={
            name: mean_interval(log_losses(baseline) - log_losses(predictions), resampling)
            for name, baseline in baselines.items()
        },
        reliability={
            "before": reliability(scored.raw, scored.truth),
            "after": reliability(scored.calibrated, scored.truth),
        },
        economy=economy(market, scored.rows, scored.calibrated, costs, horizon, seed),
    )


def _plain(value: Any) -> Any:
    """Mappings, tuples, times and floats as JSON has them."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat().replace("+00:00", "Z")
    return None if isinstance(value, float) and not isfinite(value) else value
