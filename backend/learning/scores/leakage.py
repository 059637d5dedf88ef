"""Look-ahead checks of input columns.

Two checks, because neither finds all leaks. A column that is computed from candles is computed again with later candles
removed, and with later candles replaced: earlier values must not change. A column from elsewhere, such as a file, does
not depend on the candles; it is reported when it predicts better than any column without future data does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.features import FEATURES, FeatureForm, feature_matrix
from engine.indicators import Array
from engine.labels import UNKNOWN, forward_labels
from engine.orders import Action
from engine.snapshot import market_frame

Columns = Callable[[pd.DataFrame], pd.DataFrame]
"""From n candles to n rows of named columns."""

CUTS = (0.01, 0.3, 0.6, 0.95)
"""Where the history is cut, as shares of it; the first is before averages have warmed up, to find backward filling."""

SUSPICIOUS_DISTANCE = 0.2
"""From an AUC of 0.5. Without future data no column separates rises from falls so well in a freely moving market."""

MARGIN = 0.1
"""Where prices alternate between two ticks, the last change predicts the next; a leak exceeds it by this much."""

SHIFTS = 100
FEWEST_MOVES = 120
"""Of rises and of falls. With 60 a feature was reported by chance on 4 of 60 random walks of 250 candles."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A column that uses future data, and how that was found."""

    column: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for a column. `area` is its AUC for rises against falls that is farthest from 0.5; None where there
    were too few moves.
    """

    column: str
    leak: Leak | None
    area: float | None


class LeakageError(ValueError):
    """Columns that cannot be checked."""


def verdicts(columns: Columns, candles: pd.DataFrame, horizons: Sequence[int] = (1, 5)) -> tuple[Verdict, ...]:
    """The result for each column; raises LeakageError for columns that cannot be checked.

    `horizons` are the lengths in candles of the moves that a column is tested against.
    """
    truth, close = _computed(columns, candles), candles["close"].to_numpy()
    changed = {leak.column: leak for leak in _changed_by_the_future(columns, candles, truth)}
    found = []
    for name in map(str, truth):
        compared = list(_compared(truth[name].to_numpy(dtype=np.float64), close, horizons))
        leak = changed.get(name) or _too_good(name, compared)
        farthest = max((one.area for one in compared), key=lambda area: abs(area - 0.5), default=None)
        found.append(Verdict(name, leak, farthest))
    return tuple(found)


def feature_columns(form: FeatureForm) -> Columns:
    """The 14 inputs of the models as columns to check."""

    def columns(candles: pd.DataFrame) -> pd.DataFrame:
        matrix = feature_matrix(market_frame(candles), form)
        return pd.DataFrame(matrix, index=candles.index, columns=list(FEATURES))

    return columns


def _computed(columns: Columns, candles: pd.DataFrame) -> pd.DataFrame:
    found = columns(candles)
    if len(found) != len(candles):
        raise LeakageError(f"{len(found)} rows for {len(candles)} candles")
    empty = [str(name) for name in found if not np.isfinite(found[name].to_numpy(dtype=np.float64)).any()]
    if empty or found.empty:
        raise LeakageError(f"cannot check columns without a number: {', '.join(empty)}")
    return found


def _changed_by_the_future(columns: Columns, candles: pd.DataFrame, truth: pd.DataFrame) -> tuple[Leak, ...]:
    leaks: dict[str, Leak] = {}
    for row in sorted({int(share * (len(candles) - 1)) for share in CUTS}):
        for what, future in (("missing", candles.iloc[: row + 1]), ("another", _another_future(candles, row))):
            seen = columns(future).iloc[: row + 1]
            for name in truth:
                before, after = (frame[name].to_numpy(dtype=np.float64)[: row + 1] for frame in (truth, seen))
                differs = ~((before == after) | (np.isnan(before) & np.isnan(after)))
                if differs.any():
                    first = candles.index[int(np.argmax(differs))].isoformat()
                    why = f"its value at {first} changes when all after {candles.index[row].isoformat()} is {what}"
                    leaks.setdefault(str(name), Leak(str(name), why))
    return tuple(leaks.values())


def _another_future(candles: pd.DataFrame, row: int) -> pd.DataFrame:
    """The candles after `row` shuffled, with other prices and volumes."""
    random = np.random.default_rng(row)
    order = np.concatenate([np.arange(row + 1), random.permutation(np.arange(row + 1, len(candles)))])
    factors = np.ones((len(candles), 2))
    factors[row + 1 :] = np.exp(random.normal(0.0, 0.3, (len(candles) - row - 1, 2)))
    prices = ["open", "high", "low", "close"]
    other = candles.iloc[order].set_axis(candles.index)
    other[prices] = other[prices].to_numpy() * factors[:, :1]
    other["volume"] = other["volume"].to_numpy() * factors[:, 1]
    return other


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The AUC of one view of a column for rises against falls; distances from 0.5 up to `allowed` are not reported."""

    what: str
    horizon: int
    view: Array
    rises: npt.NDArray[np.bool_]
    area: float
    allowed: float


def _compared(column: Array, close: Array, horizons: Sequence[int]) -> Iterator[_Comparison]:
    """One comparison for each view and horizon that is followed by enough moves.

    A future price predicts the next move no better than the present price does, but its change does: a column is
    compared as it is, and as its change over one candle and over the horizon.
    """
    for horizon in horizons:
        values = forward_labels(close, horizon, 0.0).values
        for what, view in _views(column, horizon):
            moved = (values != UNKNOWN) & (values != Action.HOLD) & np.isfinite(view)
            rises = values[moved] == Action.BUY
            if min(np.count_nonzero(rises), np.count_nonzero(~rises)) < FEWEST_MOVES:
                continue
            allowed = max(SUSPICIOUS_DISTANCE, _of_last_change(close, moved, rises) + MARGIN)
            area = _area(view[moved], rises)
            yield _Comparison(what, horizon, view[moved], rises, area, allowed)


def _too_good(name: str, compared: Iterable[_Comparison]) -> Leak | None:
    for one in compared:
        distance = abs(one.area - 0.5)
        if distance > one.allowed and distance > _by_chance(one.view, one.rises, one.horizon):
            ahead = f"over the next {one.horizon} candles too well (AUC {one.area:.2f})"
            return Leak(name, f"{one.what} separates rises from falls {ahead}")
    return None


def _of_last_change(close: Array, moved: npt.NDArray[np.bool_], rises: npt.NDArray[np.bool_]) -> float:
    """The distance from 0.5 of the AUC of the last change of the price."""
    change = np.diff(close, prepend=close[:1])
    return abs(_area(change[moved], rises) - 0.5)


def _views(column: Array, horizon: int) -> list[tuple[str, Array]]:
    views = [("it", column)]
    for candles in sorted({1, horizon}):
        change = np.full(column.size, np.nan)
        change[candles:] = column[candles:] - column[:-candles]
        views.append((f"its change over {candles} candles", change))
    return views


def _by_chance(view: Array, rises: npt.NDArray[np.bool_], horizon: int) -> float:
    """The largest distance from 0.5 over circular shifts of the moves, which keep the autocorrelation of both."""
    random = np.random.default_rng(horizon)
    shifts = random.integers(2 * horizon, rises.size - 2 * horizon, SHIFTS)
    return max(abs(_area(view, np.roll(rises, shift)) - 0.5) for shift in shifts.tolist())


def _area(scores: Array, happened: npt.NDArray[np.bool_]) -> float:
    """By the mean ranks (Henry Mann and Donald Whitney, 1947)."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[places]
    hits = np.count_nonzero(happened)
    return float((ranks[happened].sum() - hits * (hits + 1) / 2) / (hits * (happened.size - hits)))
