"""The lines of a block of a CSV file as columns.

pyarrow parses a block. A block that it rejects is parsed cell by cell, which takes ten times as long, accepts more
spellings and names the defect.
"""

import csv
import io
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from engine.candles import COLUMNS
from market.sources.csv_times import RowDefect, Times, Zones, parse_times

Floats = npt.NDArray[np.float64]

LONGEST_LINE = 1024**2
LONGEST_FIELD = 1000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LINE_TOO_LONG = f"a line longer than {LONGEST_LINE:,} bytes"
NUMBER = re.compile(rb"\s*[+-]?(\d+\.?\d*|\.\d+|inf(inity)?(?![a-z]))(e[+-]?\d+)?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """How many fields a line has, and which of them hold the time and the candle columns."""

    fields: int
    time: int
    numbers: tuple[int, ...]

    @property
    def only_candles(self) -> bool:
        return self.fields == 1 + len(self.numbers)


@dataclass(frozen=True, slots=True)
class Part:
    """The times of a block of so many bytes, the zones they were written in, and its candle columns."""

    size: int
    times: Times
    zones: Zones
    numbers: tuple[Floats, ...]


def parse(text: bytes, layout: Layout) -> Part:
    """The columns of whole lines, each ended by a line break. Raises RowDefect."""
    # Where all columns are candle columns, pyarrow itself rejects quotes and bytes that are no text.
    part = _plain(text, layout) if layout.only_candles and b"\r" not in text else None
    if part is None:
        text = checked_text(text)
        text = unquoted(text) if b'"' in text else text
        part = _plain(text, layout) or _cell_by_cell(text, layout)
    return part


def checked_text(text: bytes) -> bytes:
    """The text with plain line breaks. Raises RowDefect for what is not text."""
    if returns := b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    places = {
        "a NUL byte: this is not a text file": text.find(b"\0"),
        "a lone carriage return": text.find(b"\r") if returns else -1,
        "not UTF-8 text": -1 if text.isascii() else _not_utf8(text),
    }
    rows = {problem: text.count(b"\n", 0, place) for problem, place in places.items() if place >= 0}
    if rows:
        problem = min(rows, key=rows.__getitem__)
        raise RowDefect(rows[problem], problem)
    return text


def _not_utf8(text: bytes) -> int:
    """Where the text stops being UTF-8; -1 if it does not."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start
    return -1


def unquoted(text: bytes) -> bytes:
    """The text without quotes; a comma that was quoted becomes a space."""
    rows = csv.reader(io.StringIO(text.decode(), newline=""), strict=True)
    lines: list[str] = []
    try:
        for row in rows:
            if rows.line_num != len(lines) + 1:
                raise RowDefect(len(lines), "a line break inside quotes")
            lines.append(",".join(cell.replace(",", " ") for cell in row))
    except csv.Error as error:
        raise RowDefect(len(lines), f"quotes that do not match: {error}") from error
    return "".join(f"{line}\n" for line in lines).encode()


def _plain(text: bytes, layout: Layout) -> Part | None:
    """The lines as pyarrow reads them; None where it rejects any of them."""
    # Trap: pyarrow drops a leading byte order mark in every block.
    if text.startswith(BYTE_ORDER_MARK) or _may_have_long_field(text):
        return None
    names = [str(place) for place in range(layout.fields)]
    time, *candle = (names[place] for place in (layout.time, *layout.numbers))
    types = {time: pa.binary(), **dict.fromkeys(candle, pa.float64())}
    try:
        table = pyarrow.csv.read_csv(
            pa.py_buffer(text),
            pyarrow.csv.ReadOptions(use_threads=False, block_size=len(text), column_names=names),
            pyarrow.csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types=types, include_columns=[*types], null_values=[]),
        )
        texts, *columns = (column.chunk(0) for column in table.combine_chunks().columns)
        times, zones = parse_times(texts)
    except (pa.ArrowInvalid, RowDefect):
        return None
    numbers = tuple(column.to_numpy() for column in columns)
    # NaN is a number to pyarrow.
    return Part(len(text), times, zones, numbers) if all(np.isfinite(column).all() for column in numbers) else None


def _cell_by_cell(text: bytes, layout: Layout) -> Part:
    rows = _rows(text, layout)
    times, zones = parse_times(pa.array([row[layout.time] for row in rows], pa.binary()))
    return Part(len(text), times, zones, _numbers(rows, layout))


def _may_have_long_field(text: bytes) -> bool:
    """No line is longer than the longest field if every half of that length has a line break."""
    half = LONGEST_FIELD // 2
    halves = np.frombuffer(text, np.uint8, len(text) // half * half).reshape(-1, half)
    # Most have one near their beginning.
    others = halves[~(halves[:, :100] == ord("\n")).any(axis=1)]
    return not (others == ord("\n")).any(axis=1).all()


def _rows(text: bytes, layout: Layout) -> list[list[bytes]]:
    lines = text.split(b"\n")[:-1]
    for number, line in enumerate(lines):
        if problem := _line_problem(line, layout):
            raise RowDefect(number, problem)
    return [line.split(b",") for line in lines]


def _line_problem(line: bytes, layout: Layout) -> str | None:
    if len(line) > LONGEST_LINE:
        return LINE_TOO_LONG
    if not line.strip():
        return "an empty line"
    if (fields := line.count(b",") + 1) != layout.fields:
        return f"{fields} fields, but the header has {layout.fields}"
    if len(line) > LONGEST_FIELD and (longest := max(map(len, line.split(b",")))) > LONGEST_FIELD:
        return f"a field of {longest:,} bytes; the longest allowed has {LONGEST_FIELD:,}"
    return None


def _numbers(rows: list[list[bytes]], layout: Layout) -> tuple[Floats, ...]:
    for number, row in enumerate(rows):
        for name, place in zip(COLUMNS, layout.numbers, strict=True):
            if not NUMBER.fullmatch(row[place]):
                raise RowDefect(number, _number_problem(name, row[place].decode().strip()))
    return tuple(np.array([float(row[place]) for row in rows]) for place in layout.numbers)


def _number_problem(name: str, cell: str) -> str:
    if not cell:
        return f"{name} is empty"
    return f"{name} is {cell[:40]!r}, which is not a plain number"
