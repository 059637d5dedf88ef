"""The candle frame: what every other module may assume about market data.

A candle frame is a pandas DataFrame with the float64 columns open, high, low, close and volume, indexed by the
candles' open times (UTC, unique, ascending). It holds closed candles only. Gaps are valid: exchanges fail and
stock markets close. They are reported, never filled.
"""

from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

# Trap: where pyarrow is installed, pandas keeps column names in its arrays, and a first look-up takes twice as long.
pd.set_option("mode.string_storage", "python")

COLUMNS = ("open", "high", "low", "close", "volume")

INTERVALS = {
    "1m": timedelta(minutes=1),
    "3m": timedelta(minutes=3),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "2h": timedelta(hours=2),
    "4h": timedelta(hours=4),
    "6h": timedelta(hours=6),
    "12h": timedelta(hours=12),
    "1d": timedelta(days=1),
    "1w": timedelta(weeks=1),
}

# A trading day stamped in local time is 23 hours long once a year.
DAYLIGHT_SAVING_SHIFT = timedelta(hours=1)

TELLING_DISTANCES = 8
"""Fewer may all be gaps: two daily candles, of a Friday and of the Monday after."""


class Defect(StrEnum):
    MISSING_COLUMN = "missing_column"
    EMPTY = "empty"
    NOT_A_TIME = "not_a_time"
    NOT_UTC = "not_utc"
    UNSORTED = "unsorted_time"
    DUPLICATE = "duplicate_time"
    NOT_A_NUMBER = "not_a_number"
    PRICE_NOT_POSITIVE = "price_not_positive"
    NEGATIVE_VOLUME = "negative_volume"
    HIGH_BELOW_LOW = "high_below_low"
    BODY_OUTSIDE_RANGE = "body_outside_range"
    WRONG_INTERVAL = "wrong_interval"
    UNKNOWN_INTERVAL = "unknown_interval"


class CandleError(ValueError):
    """Candles that must not be traded on. `row` is the position of the first bad row, or None for the whole frame."""

    def __init__(self, defect: Defect, detail: str, row: int | None = None) -> None:
        super().__init__(detail)
        self.defect = defect
        self.detail = detail
        self.row = row


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap between two neighbouring candles; `missing` counts the candles of a market that never closes."""

    after: pd.Timestamp
    before: pd.Timestamp
    missing: int


def interval_length(interval: str) -> timedelta:
    """The time that one candle covers. Raises CandleError for a name that is not in INTERVALS."""
    if interval not in INTERVALS:
        known = ", ".join(INTERVALS)
        raise CandleError(Defect.UNKNOWN_INTERVAL, f"unknown interval {interval!r}; known are {known}")
    return INTERVALS[interval]


def validate(frame: pd.DataFrame, interval: str | None = None) -> pd.DataFrame:
    """The frame with exactly the candle columns in float64, or CandleError naming the first defect and its row.

    With an interval, the distances between the candles have to agree with it.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise CandleError(Defect.MISSING_COLUMN, f"missing column {', '.join(missing)}")
    if frame.empty:
        raise CandleError(Defect.EMPTY, "no candles")
    index = _checked_times(frame.index)
    frame = _as_floats(frame)
    _check_values(frame)
    if interval is not None:
        _check_interval(index, interval)
    return frame


def find_gaps(index: pd.DatetimeIndex, interval: str) -> list[Gap]:
    """The gaps in a validated index, in time order."""
    length = pd.Timedelta(interval_length(interval))
    distances = index[1:] - index[:-1]
    return [
        Gap(after=index[row], before=index[row + 1], missing=int(distances[row] / length) - 1)
        for row in np.flatnonzero(distances >= 2 * length).tolist()
    ]


def _checked_times(index: pd.Index) -> pd.DatetimeIndex:
    if not isinstance(index, pd.DatetimeIndex):
        raise CandleError(Defect.NOT_A_TIME, "the index does not hold times")
    if index.tz is None or index.tz.utcoffset(None) != UTC.utcoffset(None):
        raise CandleError(Defect.NOT_UTC, "times without the UTC time zone")
    _refuse_first(np.asarray(index.isna()), Defect.NOT_A_TIME, "a time is missing")
    steps = np.diff(index.tz_convert(None).to_numpy())
    still, backwards = steps == np.timedelta64(0), steps < np.timedelta64(0)
    if still.any() or backwards.any():
        row = int(np.argmax(still | backwards)) + 1
        defect = Defect.DUPLICATE if still[row - 1] else Defect.UNSORTED
        word = "stands twice" if still[row - 1] else "comes after a later one"
        raise CandleError(defect, f"the time {index[row].isoformat()} {word}", row)
    return index


def _as_floats(frame: pd.DataFrame) -> pd.DataFrame:
    if tuple(frame.columns) == COLUMNS and all(dtype == np.float64 for dtype in frame.dtypes):
        return frame
    try:
        return frame.loc[:, list(COLUMNS)].astype(np.float64)
    except (TypeError, ValueError) as error:
        raise CandleError(Defect.NOT_A_NUMBER, f"a price or volume is not a number: {error}") from error


def _check_values(frame: pd.DataFrame) -> None:
    open_, high, low, close, volume = frame.to_numpy().T
    if _sound(open_, high, low, close, volume):
        return
    for name, values in zip(COLUMNS, (open_, high, low, close, volume), strict=True):
        _refuse_first(~np.isfinite(values), Defect.NOT_A_NUMBER, f"{name} is not a finite number")
        if name != "volume":
            _refuse_first(values <= 0, Defect.PRICE_NOT_POSITIVE, f"{name} is not above zero")
    _refuse_first(volume < 0, Defect.NEGATIVE_VOLUME, "volume is below zero")
    _refuse_first(high < low, Defect.HIGH_BELOW_LOW, "high is below low")
    outside = (np.maximum(open_, close) > high) | (np.minimum(open_, close) < low)
    _refuse_first(outside, Defect.BODY_OUTSIDE_RANGE, "open or close lies outside low..high")


def _sound(open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats) -> bool:
    """Whether there is no defect; finding which one takes twice as long. Every comparison with NaN is false."""
    within = ((low <= body).all() and (body <= high).all() for body in (open_, close))
    return bool((low > 0).all() and all(within) and (high < np.inf).all() and ((volume >= 0) & (volume < np.inf)).all())


def _refuse_first(bad: np.ndarray, defect: Defect, detail: str) -> None:
    if bad.any():
        raise CandleError(defect, detail, int(np.argmax(bad)))


def _check_interval(index: pd.DatetimeIndex, interval: str) -> None:
    """The commonest distance has to be the interval, and no two candles may be closer than that."""
    length = interval_length(interval)
    if len(index) < 2:
        return
    distances = np.diff(index.tz_convert(None).to_numpy())
    commonest = pd.Timedelta(_commonest(distances))
    if commonest != length:
        raise CandleError(
            Defect.WRONG_INTERVAL, f"the candles are {_spell(commonest)} apart, but the interval is {interval}"
        )
    shortest_legal = length - DAYLIGHT_SAVING_SHIFT if length >= timedelta(days=1) else length
    too_close = distances < np.timedelta64(shortest_legal)
    if too_close.any():
        row = int(np.argmax(too_close)) + 1
        found = _spell(pd.Timedelta(distances[row - 1]))
        raise CandleError(Defect.WRONG_INTERVAL, f"a candle follows after {found}, but the interval is {interval}", row)


def _commonest(distances: np.ndarray) -> np.timedelta64:
    # Most series have no gap, and to sort a million distances takes longer than to see that.
    if (distances == distances[0]).all():
        return np.timedelta64(distances[0])
    values, counts = np.unique(distances, return_counts=True)
    return np.timedelta64(values[np.argmax(counts)])


def _spell(distance: pd.Timedelta) -> str:
    names = {length: name for name, length in INTERVALS.items()}
    return names.get(distance.to_pytimedelta(), str(distance))
