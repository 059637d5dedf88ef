"""Downloads a history of candles into a CSV file, which is complete or absent.

Each chunk is appended to a hidden file beside the target, and a killed download resumes from it; the target is written
once at the end. One file holds candles of one source: the last ones of an existing file are compared with what the
source reports now, and a difference stops the download.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from engine.candles import COLUMNS, interval_length, validate
from market.calendar.sessions import moment, session_of, times_of
from market.errors import MarketError
from market.sources import csv_file
from market.sources.base import Source
from web.files import write_atomically

HEADER = f"timestamp,{','.join(COLUMNS)}\n"
TIME_FORM = "%Y-%m-%dT%H:%M:%SZ"
CHUNK_CANDLES = 5000
OVERLAP = 3

Progress = Callable[[int, int], None]
"""Candles so far, and how many there can be."""
Span = tuple[datetime, datetime]


class DownloadError(MarketError):
    """A file cannot be written, or must not be extended."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    path: Path
    candles: pd.DataFrame
    new: int


@dataclass(frozen=True)
class Download:
    """Candles of one source with start <= open time < end, into `{SYMBOL}_{INTERVAL}.csv` of a folder."""

    source: Source
    symbol: str
    interval: str
    start: datetime
    end: datetime
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.symbol}_{self.interval}.csv"

    @property
    def part(self) -> Path:
        """What has arrived so far."""
        return self.folder / f".{self.symbol}_{self.interval}.{self.source.name.replace(':', '-')}.part"

    def run(self, on_progress: Progress = lambda done, total: None) -> Downloaded:
        """Raises SourceError, CandleFileError or DownloadError; what has arrived before it is kept."""
        try:
            with self._locked() as journal:
                return self._run(journal, on_progress)
        except OSError as error:
            raise DownloadError(f"{self.folder}: cannot be written: {error.strerror}") from error

    def _run(self, journal: BinaryIO, on_progress: Progress) -> Downloaded:
        before = csv_file.read(self.path, self.interval) if self.path.exists() else None
        spans = self._missing_spans(before, _arrived(journal))
        session = session_of(self.symbol)
        total = sum(len(session.open_times(self.interval, moment(start), moment(end))) for start, end in spans)
        done = 0
        for start, end in self._chunks(spans):
            frame = self.source.candles(self.symbol, self.interval, start, end)
            journal.write(_rows(self._compared(frame, before)))
            journal.flush()
            os.fsync(journal.fileno())
            done += len(session.open_times(self.interval, moment(start), moment(end)))
            on_progress(done, total)
        arrived = _arrived(journal)
        if arrived is None and before is None:
            raise DownloadError(f"{self.source.name} has no candles of {self.symbol} {self.interval} in that period")
        known = [frame for frame in (before, arrived) if frame is not None]
        frame = validate(_united(known), self.interval)
        write_atomically(self.path, HEADER.encode() + _rows(frame))
        self.part.unlink()
        return Downloaded(self.path, frame, len(frame) - (0 if before is None else len(before)))

    def _missing_spans(self, before: pd.DataFrame | None, arrived: pd.DataFrame | None) -> list[Span]:
        """What is neither in the file nor in the journal, oldest first."""
        if before is None:
            return _around(self.start, self.end, arrived, self.interval)
        first, last = before.index[0], before.index[-1]
        early = None if arrived is None else arrived[arrived.index < first]
        late = None if arrived is None else arrived[arrived.index > last]
        again = before.index[-OVERLAP:][0].to_pydatetime()
        return [
            *_around(self.start, first.to_pydatetime(), early, self.interval),
            *_around(again, self.end, late, self.interval),
        ]

    def _chunks(self, spans: Sequence[Span]) -> Iterator[Span]:
        length = interval_length(self.interval) * CHUNK_CANDLES
        for start, end in spans:
            while start < end:
                yield start, min(start + length, end)
                start += length

    def _compared(self, frame: pd.DataFrame, before: pd.DataFrame | None) -> pd.DataFrame:
        """Without the candles that the file holds; raises DownloadError where it holds other values."""
        if before is None or frame.empty:
            return frame
        both = frame.index.intersection(before.index)
        differs = (frame.loc[both].to_numpy() != before.loc[both].to_numpy()).any(axis=1)
        if differs.any():
            raise DownloadError(
                f"{self.path}: {differs.sum()} of its last {len(both)} candles differ from what {self.source.name} "
                f"reports now, the first at {both[int(np.argmax(differs))]:%Y-%m-%d %H:%M} UTC; "
                "move the file away to start again"
            )
        return frame[~frame.index.isin(before.index)]

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.part.open("a+b") as journal:
            try:
                fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DownloadError(f"{self.path} is being downloaded by another process") from error
            yield journal


def _around(start: datetime, end: datetime, arrived: pd.DataFrame | None, interval: str) -> list[Span]:
    """The span without the part that has arrived, which is contiguous."""
    if arrived is None or arrived.empty:
        return [(start, end)] if start < end else []
    first = arrived.index[0].to_pydatetime()
    after = arrived.index[-1].to_pydatetime() + interval_length(interval)
    return [span for span in ((start, min(first, end)), (max(after, start), end)) if span[0] < span[1]]


def _arrived(journal: BinaryIO) -> pd.DataFrame | None:
    """The candles of a journal; an incomplete last line is removed from it."""
    journal.seek(0)
    content = journal.read()
    whole = content[: content.rfind(b"\n") + 1]
    journal.truncate(len(whole))
    if not whole:
        return None
    rows = [line.split(",") for line in whole.decode().splitlines()]
    times = pd.to_datetime([row[0] for row in rows], format=TIME_FORM, utc=True)
    frame = pd.DataFrame(
        np.array([row[1:] for row in rows], np.float64),
        index=pd.DatetimeIndex(times, name="open_time").as_unit("us"),
        columns=list(COLUMNS),
    )
    return _united([frame])


def _united(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    frame = pd.concat(frames)
    return frame[~frame.index.duplicated()].sort_index()


def _rows(frame: pd.DataFrame) -> bytes:
    times = np.datetime_as_string(times_of(frame.index), "s").tolist()
    rows = frame.to_numpy().tolist()
    lines = [f"{time}Z,{','.join(map(_plain, row))}\n" for time, row in zip(times, rows, strict=True)]
    return "".join(lines).encode()


def _plain(number: float) -> str:
    """The shortest text that parses to the same number, without an exponent."""
    text = repr(number)
    return np.format_float_positional(number, trim="0") if "e" in text else text


def utc_now() -> datetime:
    return datetime.now(UTC)
