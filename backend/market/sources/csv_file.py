"""Candles from CSV files.

A file is `{SYMBOL}_{INTERVAL}.csv` or `{SYMBOL}.csv` with a header line. The columns open, high, low, close, volume and
one time column are found by name in any order and case; other columns are ignored. Times are ISO 8601 or unix time
(seconds to nanoseconds, told apart by their number of digits). A file whose times all lack a zone is read as UTC, as
daily files are usually written; a file that mixes times with and without a zone is refused. Offsets may differ by one
hour within a file, as daylight saving makes them.

The file is read in blocks, so that memory stays near the size of the result. Nothing is repaired: what cannot be
traded on is refused with the line it stands on. There is no clock here, so the caller has to drop a last candle that
was still open when the file was written.
"""

import csv
import io
import os
import re
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from engine.candles import COLUMNS, CandleError, interval_length, validate
from market.errors import CandleFileError, CandleFileMissing
from market.sources.csv_numbers import DOT, parse_plain
from market.sources.csv_times import TimeDefect, parse_times, utc_times
from market.symbols import parse_symbol

PROJECT = Path(__file__).resolve().parents[3]
TIME_NAMES = ("timestamp", "time", "date", "datetime", "open_time")
LARGEST_FILE_BYTES = 2 * 1024**3
BLOCK_BYTES = 1024**2
# numpy lets go of the interpreter while it works on a block.
WORKERS = min(4, os.cpu_count() or 1)
LONGEST_FIELD = 1000
# A preamble is a line or two; further down it is not a header that went astray.
PREAMBLE_LINES = 10

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
COMMA, NEWLINE = 0x2C, 0x0A
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+|inf(inity)?(?![a-z]))(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)


class _Defect(Exception):
    """A defect on a line of the file that is being read."""

    def __init__(self, line: int | None, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Layout:
    """How many fields a line has, and which of them hold the time and the candle columns."""

    fields: int
    time: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """Whole lines of the file, each ended by a plain line break; `first_line` is the number of the first one."""

    text: bytes
    first_line: int

    def bytes(self) -> np.ndarray:
        return np.frombuffer(self.text, np.uint8)

    def lines(self) -> int:
        # Twice as fast as bytes.count, which stops at every find.
        return int(np.count_nonzero(self.bytes() == NEWLINE))


def data_folders() -> list[Path]:
    """Where candle files are looked for: the folder that the user stands in, then the project itself."""
    folders = [root / name for root in (Path.cwd(), PROJECT) for name in ("data", "backend/data")]
    return list(dict.fromkeys(folders))


def find(symbol: str, interval: str, folders: Sequence[Path] | None = None) -> Path:
    """The file of a series. Raises SymbolError, CandleError (unknown interval) or CandleFileMissing."""
    symbol = parse_symbol(symbol)
    interval_length(interval)
    folders = data_folders() if folders is None else folders
    names = (f"{symbol}_{interval}.csv", f"{symbol}.csv")
    for candidate in (folder / name for name in names for folder in folders):
        # Not Path.exists, which raises where a folder may not be entered.
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
    looked = f"looked for {' and '.join(names)} in {', '.join(map(str, folders))}"
    return f"no candle file for {symbol} {interval}: {looked}; files of {symbol} there: {', '.join(present) or 'none'}"


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
    blocks = _blocks(handle)
    first = next(blocks, None)
    if first is None:
        raise _Defect(None, "the file is empty")
    layout = _read_header(first)
    header_bytes = first.text.index(b"\n") + 1
    rest = _Block(first.text[header_bytes:], first.first_line + 1)
    parts = list(_parsed((block for block in chain([rest], blocks) if block.text), layout))
    if not parts:
        raise _Defect(None, "no candles after the header")
    return _joined(parts)


def _blocks(handle: BinaryIO) -> Iterator[_Block]:
    end = _content_end(handle)
    line, rest = 1, b""
    while data := handle.read(min(BLOCK_BYTES, end - handle.tell())):
        if line == 1 and not rest:
            data = data.removeprefix(BYTE_ORDER_MARK)
        lines, newline, rest = (rest + data).rpartition(b"\n")
        if len(rest) > BLOCK_BYTES:
            raise _Defect(line + lines.count(b"\n") + len(newline), f"a line longer than {BLOCK_BYTES:,} bytes")
        if newline:
            yield (block := _Block(_checked_text(lines + newline, line), line))
            line += block.lines()
    if rest:
        yield _Block(_checked_text(rest + b"\n", line), line)


def _content_end(handle: BinaryIO) -> int:
    """Where the trailing white space begins; bounding the read there also holds off a file that grows meanwhile."""
    size = handle.seek(0, os.SEEK_END)
    handle.seek(max(0, size - BLOCK_BYTES))
    tail = handle.read(BLOCK_BYTES)
    handle.seek(0)
    return size - len(tail) + len(tail.rstrip(b" \t\r\n"))


def _checked_text(text: bytes, first_line: int) -> bytes:
    """The text with plain line breaks, refused where it is not text."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    for unwanted, problem in ((b"\0", "a NUL byte: this is not a text file"), (b"\r", "a lone carriage return")):
        if (position := text.find(unwanted)) >= 0:
            raise _Defect(first_line + text.count(b"\n", 0, position), problem)
    if not text.isascii():
        _check_utf8(text, first_line)
    return text


def _check_utf8(text: bytes, first_line: int) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise _Defect(first_line + text.count(b"\n", 0, error.start), "not UTF-8 text") from error


def _read_header(block: _Block) -> _Layout:
    lines = block.text.split(b"\n", PREAMBLE_LINES)[:PREAMBLE_LINES]
    if b'"' in lines[0]:
        lines[0] = _unquoted(_Block(lines[0] + b"\n", 1)).text.rstrip(b"\n")
    names = _names(lines[0].decode())
    missing = [name for name in COLUMNS if name not in names]
    times = [name for name in names if name in TIME_NAMES]
    if missing or not times:
        raise _Defect(1, _header_problem(lines, [*([] if times else [TIME_NAMES[0]]), *missing]))
    if len(times) > 1:
        raise _Defect(1, f"more than one time column: {', '.join(times)}")
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise _Defect(1, f"column {twice[0]} stands twice in the header")
    return _Layout(len(names), names.index(times[0]), tuple(names.index(name) for name in COLUMNS))


def _names(header: str, delimiter: str = ",") -> list[str]:
    return [name.strip().lower() for name in header.split(delimiter)]


def _header_problem(lines: list[bytes], missing: list[str]) -> str:
    header = lines[0].decode()
    for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if set(COLUMNS) <= set(_names(header, delimiter)):
            return f"the columns are separated by {name}, not by commas"
    for number, line in enumerate(lines[1:], start=2):
        if set(COLUMNS) <= set(_names(line.decode(errors="replace"))):
            return f"the header stands on line {number}; take away what is above it"
    return f"missing column {', '.join(missing)} in the header"


def _parsed(blocks: Iterator[_Block], layout: _Layout) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The blocks in order, some of them parsed at the same time; the defect that is told is the first one."""
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting: deque[Future[tuple[np.ndarray, np.ndarray, np.ndarray]]] = deque()
        try:
            for block in blocks:
                waiting.append(pool.submit(_parse, block, layout))
                if len(waiting) > 2 * WORKERS:
                    yield waiting.popleft().result()
        except _Defect:
            for earlier in waiting:
                earlier.result()
            raise
        while waiting:
            yield waiting.popleft().result()


def _parse(block: _Block, layout: _Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The times, their zones and the candle values (5 x rows) of a block."""
    if b'"' in block.text:
        block = _unquoted(block)
    starts, dots, ends = _fields(block, layout)
    column = layout.time
    try:
        times, zones = parse_times(block.bytes(), starts[:, column], ends[:, column])
    except TimeDefect as defect:
        raise _Defect(block.first_line + defect.row, defect.problem) from defect
    columns = list(layout.numbers)
    numbers = parse_plain(block.text, starts.T[columns], dots.T[columns], ends.T[columns])
    return times, zones, _numbers(block, layout) if numbers is None else numbers


def _unquoted(block: _Block) -> _Block:
    """The block without quotes; a comma that was quoted becomes a space."""
    rows = csv.reader(io.StringIO(block.text.decode(), newline=""), strict=True)
    lines: list[str] = []
    try:
        for row in rows:
            if rows.line_num != len(lines) + 1:
                raise _Defect(block.first_line + len(lines), "a line break inside quotes")
            lines.append(",".join(cell.replace(",", " ") for cell in row))
    except csv.Error as error:
        raise _Defect(block.first_line + len(lines), f"quotes that do not match: {error}") from error
    return _Block("".join(f"{line}\n" for line in lines).encode(), block.first_line)


def _fields(block: _Block, layout: _Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where every field starts, where its last dot stands, and where the comma or line break behind it: rows x fields.

    Where a field has no dot, or something else between its last dot and its end, the dot is its end.
    """
    text = block.bytes()
    # Comma, line break and dot are among the few signs up to the dot; no digit or letter is.
    signs = np.flatnonzero(text <= DOT)
    kinds = text[signs]
    dots, ends = _alike(signs, kinds, layout) or _unlike(signs, kinds, block, layout)
    starts = np.empty_like(ends)
    np.add(ends[:, :-1], 1, out=starts[:, 1:])
    starts[0, 0] = 0
    np.add(ends[:-1, -1], 1, out=starts[1:, 0])
    if (ends[:, -1] - starts[:, 0]).max() > LONGEST_FIELD:
        _check_lengths(ends - starts, block)
    return starts, dots, ends


def _alike(signs: np.ndarray, kinds: np.ndarray, layout: _Layout) -> tuple[np.ndarray, np.ndarray] | None:
    """Dots and ends of a block whose lines all have the same signs in the same order, as most have; else None."""
    first = int(np.argmax(kinds == NEWLINE)) + 1
    pattern = kinds[:first]
    at_end = np.flatnonzero((pattern == COMMA) | (pattern == NEWLINE))
    if len(at_end) != layout.fields or len(kinds) % first or (kinds[first:] != kinds[:-first]).any():
        return None
    rows = signs.reshape(-1, first)
    before = np.where(pattern[np.maximum(at_end - 1, 0)] == DOT, at_end - 1, at_end)
    return rows[:, before], rows[:, at_end]


def _unlike(signs: np.ndarray, kinds: np.ndarray, block: _Block, layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    rows, at_end = block.lines(), np.flatnonzero((kinds == COMMA) | (kinds == NEWLINE))
    ends = signs[at_end]
    if len(ends) != rows * layout.fields or (kinds[at_end[layout.fields - 1 :: layout.fields]] != NEWLINE).any():
        raise _ragged(block, layout)
    before = np.maximum(at_end - 1, 0)
    dots = np.where(kinds[before] == DOT, signs[before], ends)
    return dots.reshape(rows, layout.fields), ends.reshape(rows, layout.fields)


def _ragged(block: _Block, layout: _Layout) -> _Defect:
    for number, line in enumerate(block.text.split(b"\n"), start=block.first_line):
        found = line.count(b",") + 1
        if not line.strip():
            return _Defect(number, "an empty line")
        if found != layout.fields:
            return _Defect(number, f"{found} fields, but the header has {layout.fields}")
    raise AssertionError("a block that was called ragged has equal lines")


def _check_lengths(lengths: np.ndarray, block: _Block) -> None:
    too_long = lengths > LONGEST_FIELD
    if too_long.any():
        row = int(np.argmax(too_long.any(axis=1)))
        problem = f"a field of {lengths[row].max():,} bytes; the longest allowed has {LONGEST_FIELD:,}"
        raise _Defect(block.first_line + row, problem)


def _numbers(block: _Block, layout: _Layout) -> np.ndarray:
    columns = list(layout.numbers)
    try:
        # Trap: from version 3.1 on, pandas reads floats to the nearest double by default; earlier ones did not.
        frame = pd.read_csv(
            io.BytesIO(block.text), header=None, names=range(layout.fields), usecols=columns, index_col=False,
            dtype=np.float64, na_filter=False, skip_blank_lines=False, quoting=csv.QUOTE_NONE, low_memory=False,
        )  # fmt: skip
    except ValueError as error:
        raise _bad_number(block, layout) from error
    return frame.loc[:, columns].to_numpy().T


def _bad_number(block: _Block, layout: _Layout) -> _Defect:
    for line, text in enumerate(block.text.decode().split("\n"), start=block.first_line):
        cells = text.split(",")
        for name, column in zip(COLUMNS, layout.numbers, strict=True):
            if not NUMBER.fullmatch(cells[column]):
                return _Defect(line, _number_problem(name, cells[column].strip()))
    raise AssertionError("every number of a block can be read, yet pandas refused it")


def _number_problem(name: str, cell: str) -> str:
    if not cell:
        return f"{name} is empty"
    return f"{name} is {cell[:40]!r}, which is not a plain number"


def _joined(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> pd.DataFrame:
    times, zones, values = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
    try:
        instants = utc_times(times, zones)
    except TimeDefect as defect:
        raise _Defect(defect.row + 2, defect.problem) from defect
    index = pd.DatetimeIndex(instants, tz="UTC", name="open_time")
    return pd.DataFrame(values.T, index=index, columns=list(COLUMNS), copy=False)


def _validated(frame: pd.DataFrame, interval: str) -> pd.DataFrame:
    try:
        return validate(frame, interval)
    except CandleError as error:
        line = None if error.row is None else error.row + 2
        raise _Defect(line, error.detail) from error
