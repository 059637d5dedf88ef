"""Whatever a file holds, reading it gives a sound frame or a CandleFileError, and nothing else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.candles import validate
from market.errors import CandleFileError
from market.sources import csv_block, csv_file
from market.sources.csv_times import RowDefect, parse_times
from tests.market.candle_files import HEADER, HOURS, lines, write

VALID = "\n".join(lines()).encode()
NASTY_NUMBERS = [
    "",
    " ",
    "nan",
    "-inf",
    "1e400",
    "1e-400",
    "0",
    "-0.0",
    "-1",
    "1_0",
    "0x1p3",
    "\u0661",
    '"',
    '""',
    '"1,5"',
]
NASTY_TEXTS = ["1\r", "\x0c1", "+", ".", "1e", "9" * 30, "9" * 400, "NaT", "now", "\ufeff", "é", ";", "0000-00-00"]
NASTY_TIMES = [
    "2024-02-30",
    "99999-01-01",
    "2024-03-01T01:00:60Z",
    "2024-03-01T01:00:00+99:99",
    "1709254800",
    "-1709254800",
]
NASTY_CELLS = st.sampled_from(NASTY_NUMBERS + NASTY_TEXTS + NASTY_TIMES)
CELLS = NASTY_CELLS | st.text(max_size=25) | st.floats().map(str) | st.datetimes().map(str)


def outcome(folder: Path, content: bytes) -> str:
    """`read` or `refused`: what is read is sound, and a refusal is one line that names a line of the file."""
    result = frame_or_refusal(write(folder, content))
    if isinstance(result, CandleFileError):
        assert "\n" not in str(result)
        assert result.line is None or 1 <= result.line <= content.count(b"\n") + 1
        return "refused"
    pd.testing.assert_frame_equal(validate(result, "1h"), result)
    return "read"


def frame_or_refusal(path: Path) -> pd.DataFrame | CandleFileError:
    try:
        return csv_file.read(path, "1h")
    except CandleFileError as error:
        return error


@pytest.fixture(params=[160, 1024**2], ids=["many blocks", "one block"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", request.param)
    return tmp_path


fuzz = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(content=st.binary(max_size=300))
def test_any_bytes(folder: Path, content: bytes):
    outcome(folder, content)


@fuzz
@given(body=st.text(max_size=200))
def test_any_text_under_a_sound_header(folder: Path, body: str):
    outcome(folder, f"{HEADER}\n{body}".encode(errors="replace"))


@fuzz
@given(line=st.integers(2, 6), cells=st.lists(CELLS, min_size=4, max_size=8))
def test_any_cells_in_a_line(folder: Path, line: int, cells: list[str]):
    content = lines()
    content[line - 1] = ",".join(cells)
    outcome(folder, "\n".join(content).encode(errors="replace"))


@fuzz
@given(column=st.integers(0, 5), cells=st.lists(CELLS, min_size=5, max_size=5))
def test_any_column(folder: Path, column: int, cells: list[str]):
    rows = [row.split(",") for row in lines()]
    for row, cell in zip(rows[1:], cells, strict=True):
        row[column] = cell
    outcome(folder, "\n".join(map(",".join, rows)).encode(errors="replace"))


@fuzz
@given(place=st.integers(0, len(VALID)), removed=st.integers(0, 12), added=st.binary(max_size=12))
def test_a_damaged_place(folder: Path, place: int, removed: int, added: bytes):
    outcome(folder, VALID[:place] + added + VALID[place + removed :])


@fuzz
@given(order=st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_lines_in_any_order(folder: Path, order: list[int]):
    content = lines()
    result = outcome(folder, "\n".join(content[number] for number in order).encode())
    ascending = sorted(set(order)) == order and order[0] == 0
    assert (result == "refused") or ascending


@fuzz
@given(offset=st.floats(min_value=1e-8, max_value=1e12), count=st.integers(1, 24))
def test_every_sound_price_is_read_exactly(folder: Path, offset: float, count: int):
    content = lines(HOURS[:count], ",".join([repr(offset)] * 5))
    frame = csv_file.read(write(folder, content), "1h")
    assert frame["open"].tolist() == [offset] * count


# What a parser of floats might take for a number, or read in its own way.
ODD_NUMBERS = [
    *(
        "nan(1)",
        "-nan",
        "+inf",
        "-Infinity",
        "infinit",
        "inf ",
        "1d2",
        "1f",
        "1e",
        "1e+",
        ".",
        "-.5",
        "1.",
        "+-1",
        "--1",
    ),
    *("True", "FALSE", "null", "NA", "1 000", "1;", "1e99999999999", "1e0000000000000000002", "1e-400", "4.9e-324"),
    *("2.2250738585072011e-308", "1.7976931348623157e308", "1.7976931348623159e308", "2.4703282292062328e-324"),
    *("\t1", "\x0b1", "1\x0c", "\xa01", "\u20281", "1\x1c", "\ufeff1", "0" * 400 + "1", "0." + "0" * 340 + "1", "-0"),
]
DIGITS = st.text("0123456789.eE+- ", min_size=1, max_size=12) | st.text("0123456789", min_size=15, max_size=30)
NUMBERS = NASTY_CELLS | st.sampled_from(ODD_NUMBERS) | DIGITS | st.floats().map(repr) | st.text(max_size=6)
TIMES = NASTY_CELLS | st.sampled_from(HOURS) | st.text("0123456789-+T:.Z ", max_size=27) | st.datetimes().map(str)


def read_twice(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> list[pd.DataFrame | CandleFileError]:
    """What pyarrow and what going through cell by cell make of a file."""
    path = write(folder, content.encode(errors="replace"))
    quick = frame_or_refusal(path)
    with monkeypatch.context() as patched:
        patched.setattr(csv_block, "_plain", lambda *_: None)
        return [quick, frame_or_refusal(path)]


def assert_same(quick: pd.DataFrame | CandleFileError, slow: pd.DataFrame | CandleFileError) -> None:
    if isinstance(slow, CandleFileError):
        assert isinstance(quick, CandleFileError), "pyarrow accepted what is to be refused"
        assert (quick.line, quick.problem) == (slow.line, slow.problem)
    else:
        assert isinstance(quick, pd.DataFrame), str(quick)
        pd.testing.assert_index_equal(quick.index, slow.index)
        # To the bit: assert_frame_equal takes -0.0 for 0.0.
        assert quick.to_numpy().tobytes() == slow.to_numpy().tobytes()


@fuzz
@given(cells=st.lists(NUMBERS, min_size=1, max_size=5))
def test_pyarrow_reads_a_number_as_going_cell_by_cell_does(cells: list[str]):
    rows = [f"{cell},1,1,1,1,{HOURS[0]}\n".encode(errors="replace") for cell in cells]
    text = b"".join(row for row in rows if not set(row[:-1]) & set(b'\n\r\0"'))
    layout = csv_block.Layout(6, 5, (0, 1, 2, 3, 4))
    quick = csv_block._plain(text, layout) if text else None
    if quick is not None:
        slow = csv_block._cell_by_cell(text, layout)
        assert np.array(quick.numbers).tobytes() == np.array(slow.numbers).tobytes()


@fuzz
@given(column=st.integers(1, 5), line=st.integers(2, 6), number=NUMBERS)
def test_both_ways_agree_about_a_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch, column: int, line: int, number: str
):
    cells = lines()[line - 1].split(",")
    cells[column] = number
    content = lines()
    content[line - 1] = ",".join(cells)
    assert_same(*read_twice(folder, monkeypatch, "\n".join(content)))


@fuzz
@given(line=st.integers(2, 6), time=TIMES, ahead=st.sampled_from(["", "note,"]))
def test_both_ways_agree_about_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch, line: int, time: str, ahead: str):
    content = [ahead + text for text in lines()]
    content[line - 1] = f"{ahead}{time},1,1,1,1,1"
    assert_same(*read_twice(folder, monkeypatch, "\n".join(content)))


@fuzz
@given(line=st.integers(1, 6), cells=st.lists(CELLS, min_size=0, max_size=8))
def test_both_ways_agree_about_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch, line: int, cells: list[str]):
    content = lines()
    content.insert(line, ",".join(cells))
    assert_same(*read_twice(folder, monkeypatch, "\n".join(content)))


@fuzz
@given(place=st.integers(0, len(VALID)), removed=st.integers(0, 12), added=st.text(max_size=12))
def test_both_ways_agree_about_a_damaged_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: int, removed: int, added: str
):
    text = VALID.decode()
    assert_same(*read_twice(folder, monkeypatch, text[:place] + added + text[place + removed :]))


def calendar(
    year: int, month: int, day: int, clock: tuple[int, int, int], zone: tuple[str, int, int]
) -> datetime | None:
    """The instant, if there is such a time from 1900 to 2199."""
    sign, hours, minutes = zone
    try:
        local = datetime(year, month, day, *clock, tzinfo=UTC)
    except ValueError:
        return None
    if hours > 23 or minutes > 59 or not 2 <= year <= 9998:
        return None
    instant = local - timedelta(hours=hours, minutes=minutes) * (1 if sign == "+" else -1)
    return instant if 1900 <= instant.year < 2200 else None


@settings(max_examples=1000, deadline=None)
@given(
    year=st.integers(1898, 2201) | st.integers(0, 9999),
    month=st.integers(1, 12) | st.integers(0, 99),
    day=st.integers(1, 31) | st.integers(0, 99),
    clock=st.tuples(st.integers(0, 24), st.integers(0, 60), st.integers(0, 60)),
    zone=st.tuples(st.sampled_from("+-"), st.integers(0, 24), st.integers(0, 60)),
    form=st.sampled_from(["{0}T{1}{2}", "{0} {1}{2}", "{0}T{1}.000{2}", "{0} {1}.000000{2}"]),
)
def test_a_time_is_what_the_calendar_says(
    year: int, month: int, day: int, clock: tuple[int, int, int], zone: tuple[str, int, int], form: str
):
    text = form.format(
        f"{year:04}-{month:02}-{day:02}",
        ":".join(f"{part:02}" for part in clock),
        f"{zone[0]}{zone[1]:02}:{zone[2]:02}",
    )
    expected = calendar(year, month, day, clock, zone)
    column = pa.array([text.encode()], pa.binary())
    if expected is None:
        with pytest.raises(RowDefect):
            parse_times(column)
    else:
        assert parse_times(column)[0].tolist() == [expected.replace(tzinfo=None)]
