"""Whatever a file holds, reading it gives a sound frame or a CandleFileError, and nothing else."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.candles import validate
from market.errors import CandleFileError
from market.sources import csv_file
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
    result = frame_or_refusal(write(folder, content))
    if isinstance(result, CandleFileError):
        assert "\n" not in str(result)
        assert result.line is None or 1 <= result.line <= content.count(b"\n") + 1
        return "refused"
    validate(result, "1h")
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
