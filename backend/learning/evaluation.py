"""What a recipe is worth out of sample, beside what could be had for nothing. All of it is kept with a model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from engine.terms import Costs
from learning.calibration import Calibration
from learning.economy import Economy, economy
from learning.examples import examples
from learning.held_out import HeldOut, calibration_of, hold_out
from learning.measures import Interval, Measures, Resampling, log_losses, mean_interval, measures
from learning.recipes import Recipe
from learning.reliability import Reliability, reliability
from learning.training import CLASSES


@dataclass(frozen=True, slots=True)
class Scores:
    """A purged, embargoed walk-forward over one history. All figures stand for the same `rows`.

    `model` is what a user is shown, the calibrated answers; `raw` the answers before. The baselines are `majority` (the
    commonest class so far, with the frequencies so far), `previous_action` (what was right last time, with the
    frequencies after it) and `coin` (a third each). `gain` is by how much the log loss of the model is below that of
    each: a model knows something only where the whole interval is above 0. `reliability` holds the three curves, of
    SELL, HOLD and BUY, `before` and `after` calibration.

    `calibration` is the one for a model of this recipe that is trained on the whole history.
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
    calibration: Calibration

    def to_json(self) -> dict[str, Any]:
        """All but the calibration, which is kept beside it; None where a figure is undefined."""
        plain = {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in ("calibration", "first_time", "last_time")
        }
        times = {name: getattr(self, name).isoformat().replace("+00:00", "Z") for name in ("first_time", "last_time")}
        stored: dict[str, Any] = _plain({**plain, **times})
        return stored


def evaluate(recipe: Recipe, market: pd.DataFrame, costs: Costs | None = None, at: int | None = None) -> Scores:
    """The scores of a recipe on a market frame, up to the close of candle `at`.

    Raises TrainingError where no fold can be trained: such a history can carry a model, but nobody knows how good.
    """
    known = examples(recipe, market)
    return scores(recipe, market, hold_out(recipe, known, at), costs or Costs())


def scores(recipe: Recipe, market: pd.DataFrame, held: HeldOut, costs: Costs) -> Scores:
    """The scores of held-out answers. The first fold calibrates the second and is not scored, if there is a second."""
    scored = held.scored()
    resampling = Resampling(scored.fold, recipe.horizon, recipe.seed)
    answers = scored.answers()
    baselines = {
        "majority": scored.majority_answers(),
        "previous_action": scored.previous_answers(),
        "coin": scored.coin_answers(),
    }
    sell, hold, buy = np.bincount(scored.truth, minlength=CLASSES).tolist()
    return Scores(
        rows=scored.rows.size,
        folds=len(np.unique(scored.fold)),
        first_time=market.index[scored.rows[0]],
        last_time=market.index[scored.rows[-1]],
        class_counts=(sell, hold, buy),
        model=measures(answers, resampling),
        raw=measures(scored.raw_answers(), resampling),
        baselines={name: measures(guesses, resampling) for name, guesses in baselines.items()},
        gain={
            name: mean_interval(log_losses(guesses) - log_losses(answers), resampling)
            for name, guesses in baselines.items()
        },
        reliability={
            "before": reliability(scored.raw, scored.truth),
            "after": reliability(scored.calibrated, scored.truth),
        },
        economy=economy(market, scored.rows, scored.calibrated, costs, recipe.horizon, recipe.seed),
        calibration=calibration_of(recipe, held),
    )


def _plain(value: Any) -> Any:
    """Values, mappings and tuples as JSON knows them."""
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value
