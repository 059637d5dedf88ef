"""From the rows of a response to a candle frame: rows that contradict each other or the request are refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd

from engine.candles import COLUMNS, CandleError, interval_length, validate
from market.errors import InvalidResponse, NotServed

MILLISECOND = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The epoch was a Thursday, and weeks begin on Monday.
FIRST_MONDAY = timedelta(days=4) // MILLISECOND
WEEK = timedelta(weeks=1) // MILLISECOND
# The last trades of a candle may reach its row after it has closed. Milliseconds.
SETTLING = 1000

Row = tuple[int, float | str, float | str, float | str, float | str, float | str]
"""Open time in milliseconds of unix time, then open, high, low, close and volume."""


@dataclass(frozen=True, slots=True)
class CandleRange:
    """The requested candles: `first` <= open time < `end`, in milliseconds, `first` on the grid."""

    interval: str
    first: int
    end: int

    @classmethod
    def of(cls, source: str, served: frozenset[str], interval: str, start: datetime, end: datetime) -> "CandleRange":
        """Raises CandleError (unknown interval) or NotServed."""
        length = interval_length(interval) // MILLISECOND
        if interval not in served:
            known = ", ".join(sorted(served, key=interval_length))
            raise NotServed(source, f"it serves no {interval} candles, only {known}")
        first = milliseconds(start)
        return cls(interval, first + (_grid(length) - first) % length, milliseconds(end))

    @property
    def length(self) -> int:
        return interval_length(self.interval) // MILLISECOND

    def newest(self, count: int) -> "CandleRange":
        """The last `count` of them."""
        after = self.end - count * self.length
        return CandleRange(self.interval, max(self.first, after + (_grid(self.length) - after) % self.length), self.end)

    def on_grid(self, time: int) -> bool:
        return (time - _grid(self.length)) % self.length == 0


def milliseconds(time: datetime) -> int:
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone")
    return -((EPOCH - time) // MILLISECOND)


def utc_time(time: int) -> datetime:
    return EPOCH + time * MILLISECOND


def checked_times(source: str, times: Sequence[int], requested: CandleRange) -> None:
    """Raises InvalidResponse for candles that were not requested, are duplicates, or are out of order."""
    for time in times:
        if not requested.first <= time < requested.end:
            raise InvalidResponse(source, f"it sent a candle of {_spell(time)}, which was not requested")
        if not requested.on_grid(time):
            raise InvalidResponse(
                source, f"it sent a candle of {_spell(time)}, where no {requested.interval} candle begins"
            )
    for before, after in pairwise(times):
        if before >= after:
            word = "twice" if before == after else "out of order"
            raise InvalidResponse(source, f"it sent the candle of {_spell(after)} {word}")


def closed_rows(rows: Iterable[Row], requested: CandleRange, server_time: datetime) -> list[Row]:
    """Without the candle that is still forming by the clock of the source."""
    last = milliseconds(server_time) - requested.length - SETTLING
    return [row for row in rows if row[0] <= last]


def frame_of(source: str, rows: Sequence[Row]) -> pd.DataFrame:
    """The candle frame of rows, oldest first. Raises InvalidResponse for all that engine.candles refuses."""
    if not rows:
        return empty_frame()
    times, *columns = zip(*rows, strict=True)
    index = pd.DatetimeIndex(np.array(times, "datetime64[ms]").astype("datetime64[us]"), name="open_time")
    try:
        values = {name: np.array(column, np.float64) for name, column in zip(COLUMNS, columns, strict=True)}
        return validate(pd.DataFrame(values, index=index.tz_localize("UTC")))
    except CandleError as error:
        where = "" if error.row is None else f" in the candle of {_spell(times[error.row])}"
        raise InvalidResponse(source, f"{error.detail}{where}") from error
    except ValueError as error:
        raise InvalidResponse(source, f"a price or volume is not a number: {error}") from error


def empty_frame() -> pd.DataFrame:
    index = pd.DatetimeIndex([], dtype="datetime64[us, UTC]", name="open_time")
    return pd.DataFrame({name: np.array([], np.float64) for name in COLUMNS}, index=index)


def _grid(length: int) -> int:
    return FIRST_MONDAY if length == WEEK else 0


def _spell(time: int) -> str:
    return f"{utc_time(time):%Y-%m-%d %H:%M:%S} UTC"
