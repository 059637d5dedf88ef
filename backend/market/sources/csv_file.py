"""Candles from CSV files.

A file is `{SYMBOL}_{INTERVAL}.csv` or `{SYMBOL}.csv` with a header line. The columns open, high, low, close, volume and
one time column are found by name in any order and case; other columns are ignored. Times are ISO 8601 or unix time
(seconds to nanoseconds, by their number of digits). A file whose times all lack a zone is read as UTC, as
daily files are usually written; a file that mixes times with and without a zone is refused. Offsets may differ by one
hour within a file, as daylight saving makes them.

The file is read in blocks, so that memory stays near the size of the result. Nothing is repaired: a defect is refused
with its line. The caller has to drop a last candle that was still open when the file was written.
"""

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.candles import COLUMNS, CandleError, interval_length, validate
from market.errors import CandleFileError, CandleFileMissing
from market.sources.csv_block import (
    BYTE_ORDER_MARK,
    LINE_TOO_LONG,
    LONGEST_LINE,
    Layout,
    Part,
    checked_text,
    parse,
    unquoted,
)
from market.sources.csv_times import RowDefect, check_zones
from market.symbols import parse_symbol

# Arrow's own allocators keep tens of megabytes of the blocks that were read.
pa.set_memory_pool(pa.system_memory_pool())

PROJECT = Path(__file__).resolve().parents[3]
TIME_NAMES = ("timestamp", "time", "date", "datetime", "open_time")
LARGEST_FILE_BYTES = 2 * 1024**3
BLOCK_BYTES = 2 * 1024**2
# pyarrow and numpy release the GIL while they work on a block.
WORKERS = min(4, os.cpu_count() or 1)
# A preamble above the header has a line or two.
PREAMBLE_LINES = 10


class _Defect(Exception):
    """A defect of the file that is being read."""

    def __init__(self, line: int | None, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


class _Columns:
    """The columns of a file of `size` bytes, as far as it has been read."""

    def __init__(self, size: int) -> None:
        self._size, self._read, self._rows = size, 0, 0
        self._times, self._zones = np.empty(0, "datetime64[us]"), np.empty(0, np.int16)
        self._values = np.empty((len(COLUMNS), 0))

    def add(self, part: Part) -> None:
        start, self._rows = self._rows, self._rows + len(part.times)
        self._read += part.size
        if self._rows > self._times.size:
            # Reserved memory that is not used costs nothing.
            self._grow(start, max(self._rows, int(1.05 * self._rows * self._size / self._read)))
        rows = slice(start, self._rows)
        self._times[rows], self._zones[rows] = part.times, part.zones
        for column, numbers in zip(self._values, part.numbers, strict=True):
            column[rows] = numbers

    def frame(self) -> pd.DataFrame:
        """Raises RowDefect for inconsistent time zones."""
        if not self._rows:
            raise _Defect(None, "no candles after the header")
        check_zones(self._zones[: self._rows])
        index = pd.DatetimeIndex(self._times[: self._rows], tz="UTC", name="open_time")
        return pd.DataFrame(self._values[:, : self._rows].T, index=index, columns=list(COLUMNS), copy=False)

    def _grow(self, rows: int, room: int) -> None:
        for name in ("_times", "_zones", "_values"):
            full = getattr(self, name)
            wide = np.empty((*full.shape[:-1], room), full.dtype)
            wide[..., :rows] = full[..., :rows]
            setattr(self, name, wide)


def data_folders() -> list[Path]:
    """The folders of candle files: those of the working directory, then those of the project."""
    folders = [root / name for root in (Path.cwd(), PROJECT) for name in ("data", "backend/data")]
    return list(dict.fromkeys(folders))


def find(symbol: str, interval: str, folders: Sequence[Path] | None = None) -> Path:
    """The file of a series. Raises SymbolError, CandleError (unknown interval) or CandleFileMissing."""
    symbol = parse_symbol(symbol)
    interval_length(interval)
    folders = data_folders() if folders is None else folders
    names = (f"{symbol}_{interval}.csv", f"{symbol}.csv")
    for candidate in (folder / name for name in names for folder in folders):
        # Not Path.exists, which raises where a folder is not accessible.
        if os.path.exists(candidate):
            return candidate
    raise CandleFileMissing(_nothing_found(symbol, interval, names, folders))


def read(path: Path, interval: str) -> pd.DataFrame:
    """The candle frame of a file. Raises CandleError (unknown interval) or CandleFileError (all that it refuses)."""
    interval_length(interval)
    try:
        _check_file(path)
        with path.open("rb") as handle:
            return _validated(_frame(handle), interval)
    except _Defect as defect:
        raise CandleFileError(path, defect.problem, defect.line) from defect
    except OSError as error:
        raise CandleFileError(path, f"cannot be read: {error.strerror}") from error


def _nothing_found(symbol: str, interval: str, names: Sequence[str], folders: Sequence[Path]) -> str:
    present = sorted({file.name for folder in folders for file in folder.glob(f"{symbol}_*.csv")})
    tried = f"looked for {' and '.join(names)} in {', '.join(map(str, folders))}"
    return f"no candle file for {symbol} {interval}: {tried}; files of {symbol} there: {', '.join(present) or 'none'}"


def _check_file(path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _Defect(None, "is a folder, not a file")
    # A pipe or a device could be read for ever.
    if not stat.S_ISREG(status.st_mode):
        raise _Defect(None, "is not a regular file")
    if status.st_size > LARGEST_FILE_BYTES:
        raise _Defect(None, f"has {status.st_size:,} bytes; candle files may have up to {LARGEST_FILE_BYTES:,}")


def _frame(handle: BinaryIO) -> pd.DataFrame:
    end = _content_end(handle)
    layout = _read_header(handle, end)
    columns = _Columns(end)
    try:
        for part in _parsed(_blocks(handle, end), layout):
            columns.add(part)
        frame = columns.frame()
    except RowDefect as defect:
        raise _Defect(defect.row + 2, defect.problem) from defect
    # pyarrow keeps freed memory in its pool.
    pa.default_memory_pool().release_unused()
    return frame


def _content_end(handle: BinaryIO) -> int:
    """Where the trailing white space begins; the read ends there even if the file grows meanwhile."""
    size = handle.seek(0, os.SEEK_END)
    handle.seek(max(0, size - BLOCK_BYTES))
    tail = handle.read(BLOCK_BYTES)
    handle.seek(0)
    return size - len(tail) + len(tail.rstrip(b" \t\r\n"))


def _read_header(handle: BinaryIO, end: int) -> Layout:
    """The layout by the first line; the handle is left at the second one."""
    first = handle.readline(min(LONGEST_LINE, end)).removeprefix(BYTE_ORDER_MARK)
    if not first:
        raise _Defect(None, "the file is empty")
    if handle.tell() < end and not first.endswith(b"\n"):
        raise _Defect(1, LINE_TOO_LONG)
    try:
        header = checked_text(first).rstrip(b"\n")
        header = unquoted(header) if b'"' in header else header
    except RowDefect as defect:
        raise _Defect(1, defect.problem) from defect
    names = _names(header.decode())
    missing = [name for name in COLUMNS if name not in names]
    times = [name for name in names if name in TIME_NAMES]
    if missing or not times:
        below = [handle.readline(LONGEST_LINE) for _ in range(PREAMBLE_LINES - 1)]
        raise _Defect(1, _header_problem(header.decode(), below, [*([] if times else [TIME_NAMES[0]]), *missing]))
    if len(times) > 1:
        raise _Defect(1, f"more than one time column: {', '.join(times)}")
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise _Defect(1, f"column {twice[0]} appears twice in the header")
    return Layout(len(names), names.index(times[0]), tuple(names.index(name) for name in COLUMNS))


def _names(header: str, delimiter: str = ",") -> list[str]:
    return [name.strip().lower() for name in header.split(delimiter)]


def _header_problem(header: str, below: list[bytes], missing: list[str]) -> str:
    for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if set(COLUMNS) <= set(_names(header, delimiter)):
            return f"the columns are separated by {name}, not by commas"
    for number, line in enumerate(below, start=2):
        if set(COLUMNS) <= set(_names(line.decode(errors="replace"))):
            return f"the header is on line {number}; remove what is above it"
    return f"missing column {', '.join(missing)} in the header"


def _blocks(handle: BinaryIO, end: int) -> Iterator[bytes]:
    """Whole lines, each ended by a line break. Raises RowDefect for a line without an end."""
    while (start := handle.tell()) < end:
        # Extended to the end of the line that the block would break.
        handle.seek(min(start + BLOCK_BYTES, end))
        rest = handle.readline(min(LONGEST_LINE, end - handle.tell()))
        size = handle.tell() - start
        handle.seek(start)
        if not (text := handle.read(size)):
            return  # The file has become shorter.
        if len(rest) == LONGEST_LINE and not rest.endswith(b"\n"):
            raise RowDefect(text.count(b"\n"), LINE_TOO_LONG)
        yield text if text.endswith(b"\n") else text + b"\n"


def _parsed(blocks: Iterator[bytes], layout: Layout) -> Iterator[Part]:
    """The parts in order, some of them parsed at the same time. Raises RowDefect for the first defect of all."""
    rows = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        futures = _submitted(pool, blocks, layout)
        waiting = deque(islice(futures, 2 * WORKERS))
        try:
            while waiting:
                part = waiting.popleft().result()
                waiting.extend(islice(futures, 1))
                rows += len(part.times)
                yield part
        except RowDefect as defect:
            raise RowDefect(rows + defect.row, defect.problem) from defect


def _submitted(pool: ThreadPoolExecutor, blocks: Iterator[bytes], layout: Layout) -> Iterator[Future[Part]]:
    try:
        for block in blocks:
            yield pool.submit(parse, block, layout)
    except RowDefect as defect:
        # Raised in order: the blocks before it may have defects too.
        refused: Future[Part] = Future()
        refused.set_exception(defect)
        yield refused


def _validated(frame: pd.DataFrame, interval: str) -> pd.DataFrame:
    try:
        return validate(frame, interval)
    except CandleError as error:
        line = None if error.row is None else error.row + 2
        raise _Defect(line, error.detail) from error
