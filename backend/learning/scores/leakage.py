"""Columns that know the future, by name.

Two looks, because either alone can be fooled. A column that is computed from candles is computed again where the
future is missing, and where it is another one: what it said before must not change. A column that comes from elsewhere,
such as a file, says the same whatever the candles are; it is suspected when it foretells better than anything honest.
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
"""Where the future is cut off, as shares of the history; once before averages warm up, for what fills backwards."""

SUSPICIOUS_DISTANCE = 0.2
"""From an AUC of 0.5: nothing honest tells rises from falls so well in a market that moves freely."""

MORE_THAN_HONEST = 0.1
"""Where prices bounce between two ticks, the last change foretells the next; a leak has to beat it by this much."""

SHIFTS = 100
FEWEST_MOVES = 120
"""Of rises and of falls. With 60, chance accused a feature on 4 of 60 random walks of 250 candles."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A column that knows more than it can, and how it gave itself away."""

    column: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a column. `area` is the AUC farthest from 0.5 with which it tells rises from falls; None where
    too few moves followed to tell.
    """

    column: str
    leak: Leak | None
    area: float | None


class LeakageError(ValueError):
    """Columns that cannot be judged."""


def check_leakage(columns: Columns, candles: pd.DataFrame, horizons: Sequence[int] = (1, 5)) -> tuple[Leak, ...]:
    """The columns that see candles after their own; empty if none does. Raises LeakageError where nothing can be told.

    `horizons` are the moves, in candles, that a column is suspected to know.
    """
    return tuple(verdict.leak for verdict in verdicts(columns, candles, horizons) if verdict.leak)


def verdicts(columns: Columns, candles: pd.DataFrame, horizons: Sequence[int] = (1, 5)) -> tuple[Verdict, ...]:
    """The same, of every column. Raises LeakageError where nothing can be told."""
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
    """The 14 inputs of the models, as columns to be checked."""

    def columns(candles: pd.DataFrame) -> pd.DataFrame:
        matrix = feature_matrix(market_frame(candles), form)
        return pd.DataFrame(matrix, index=candles.index, columns=list(FEATURES))

    return columns


def too_good(columns: pd.DataFrame, close: Array, horizons: Sequence[int]) -> tuple[Leak, ...]:
    """The columns that tell rises from falls too well.

    A price of tomorrow is no better than one of today at telling where it goes from here; its change is. So a column is
    looked at as it is, and as its change over one candle and over the horizon; the measure is the area under the curve,
    beside what the same column reaches when it is shifted against the moves.
    """
    numbers = {str(name): columns[name].to_numpy(dtype=np.float64) for name in columns}
    suspects = (_too_good(name, _compared(column, close, horizons)) for name, column in numbers.items())
    return tuple(leak for leak in suspects if leak is not None)


def _computed(columns: Columns, candles: pd.DataFrame) -> pd.DataFrame:
    found = columns(candles)
    if len(found) != len(candles):
        raise LeakageError(f"{len(found)} rows for {len(candles)} candles")
    silent = [str(name) for name in found if not np.isfinite(found[name].to_numpy(dtype=np.float64)).any()]
    if silent or found.empty:
        raise LeakageError(f"nothing can be told of columns without a number: {', '.join(silent)}")
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
    """Every candle after `row` at another price and another volume, in another order."""
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
    """How well a look at a column tells rises from falls; `allowed` is the distance from 0.5 that accuses nobody."""

    what: str
    horizon: int
    looked_at: Array
    rises: npt.NDArray[np.bool_]
    area: float
    allowed: float


def _compared(column: Array, close: Array, horizons: Sequence[int]) -> Iterator[_Comparison]:
    """Without the looks that too few moves followed."""
    for horizon in horizons:
        values = forward_labels(close, horizon, 0.0).values
        for what, looked_at in _looks(column, horizon):
            moved = (values != UNKNOWN) & (values != Action.HOLD) & np.isfinite(looked_at)
            rises = values[moved] == Action.BUY
            if min(np.count_nonzero(rises), np.count_nonzero(~rises)) < FEWEST_MOVES:
                continue
            allowed = max(SUSPICIOUS_DISTANCE, _honest(close, moved, rises) + MORE_THAN_HONEST)
            area = _area(looked_at[moved], rises)
            yield _Comparison(what, horizon, looked_at[moved], rises, area, allowed)


def _too_good(name: str, compared: Iterable[_Comparison]) -> Leak | None:
    for one in compared:
        distance = abs(one.area - 0.5)
        if distance > one.allowed and distance > _by_chance(one.looked_at, one.rises, one.horizon):
            ahead = f"over the next {one.horizon} candles too well (AUC {one.area:.2f})"
            return Leak(name, f"{one.what} tells rises from falls {ahead}")
    return None


def _honest(close: Array, moved: npt.NDArray[np.bool_], rises: npt.NDArray[np.bool_]) -> float:
    """The distance from 0.5 that the last change of the price reaches."""
    change = np.diff(close, prepend=close[:1])
    return abs(_area(change[moved], rises) - 0.5)


def _looks(column: Array, horizon: int) -> list[tuple[str, Array]]:
    looks = [("it", column)]
    for candles in sorted({1, horizon}):
        change = np.full(column.size, np.nan)
        change[candles:] = column[candles:] - column[:-candles]
        looks.append((f"its change over {candles} candles", change))
    return looks


def _by_chance(looked_at: Array, rises: npt.NDArray[np.bool_], horizon: int) -> float:
    """The largest distance from 0.5 when column and moves do not belong together, but each keeps its own spells."""
    random = np.random.default_rng(horizon)
    shifts = random.integers(2 * horizon, rises.size - 2 * horizon, SHIFTS)
    return max(abs(_area(looked_at, np.roll(rises, shift)) - 0.5) for shift in shifts.tolist())


def _area(scores: Array, happened: npt.NDArray[np.bool_]) -> float:
    """By the mean ranks (Henry Mann and Donald Whitney, 1947)."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[places]
    hits = np.count_nonzero(happened)
    return float((ranks[happened].sum() - hits * (hits + 1) / 2) / (hits * (happened.size - hits)))
