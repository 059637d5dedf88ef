import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from engine.candles import COLUMNS, CandleError, validate
from market.errors import CandleFileError, CandleFileMissing, SymbolError
from market.sources import csv_block, csv_file
from market.sources.csv_times import parse_times
from tests.market.candle_files import HEADER, HOURS, VALUES, lines, seconds, write

EXPECTED = pd.DataFrame(
    [[float(value) for value in VALUES.split(",")]] * 5,
    index=pd.DatetimeIndex(HOURS[:5], name="open_time").as_unit("us"),
    columns=list(COLUMNS),
)

SPELLINGS = {
    "as documented": lines(),
    "no last line break": "\n".join(lines()),
    "CRLF": "\r\n".join(lines()) + "\r\n",
    "empty lines at the end": "\n".join(lines()) + "\n\n \r\n\n",
    "byte order mark": b"\xef\xbb\xbf" + "\n".join(lines()).encode(),
    "header in capitals": [HEADER.upper(), *lines()[1:]],
    "header with spaces": [HEADER.replace(",", " , "), *lines()[1:]],
    "Yahoo": ["Datetime,Open,High,Low,Close,Adj Close,Volume", *(f"{t},100,110.5,90,105.25,1,12.5" for t in HOURS[:5])],
    "columns in another order": [
        "volume,close,low,high,open,date",
        *(f"12.5,105.25,90,110.5,100,{t}" for t in HOURS[:5]),
    ],
    "text in another column": [f"{HEADER},näme", *(f"{line},Ünïcode 1_0 nan" for line in lines()[1:])],
    "quotes": [f'"{line}"'.replace(",", '","') for line in lines()],
    "quoted quotes elsewhere": [f"name,{HEADER}", *(f'"""odd",{line}' for line in lines()[1:])],
    "quoted commas elsewhere": [f'"Name, full",{HEADER}', *(f'"Photon, Inc.",{line}' for line in lines()[1:])],
    "spaces before numbers": [HEADER, *(line.replace(",", ", ") for line in lines()[1:])],
    "control characters around numbers": lines(values="\x0b100,110.5\x0c,90,105.25,12.5\t"),
    "lines of many fields": [f"{HEADER}{',note' * 600}", *(f"{line}{',x' * 600}" for line in lines()[1:])],
    "exponents": lines(values="1e2,1.105E+2,+90,10525e-2,.125e2"),
    "space instead of T": lines([time.replace("T", " ") for time in HOURS[:5]]),
    "no seconds": lines([f"{time[:16]}Z" for time in HOURS[:5]]),
    "milliseconds": lines([f"{time[:19]}.000Z" for time in HOURS[:5]]),
    "microseconds": lines([f"{time[:19]}.000000Z" for time in HOURS[:5]]),
    "offset zero": lines([f"{time[:19]}+00:00" for time in HOURS[:5]]),
    "offset without a colon": lines([f"{time[:19]}+0000" for time in HOURS[:5]]),
    "offset in hours": lines([f"{time[:19]}+00" for time in HOURS[:5]]),
    "all naive": lines([time[:19] for time in HOURS[:5]]),
    "east of UTC": lines([f"2024-03-01T{hour + 5:02}:30:00+05:30" for hour in range(5)]),
    "west of UTC": lines([f"2024-02-29T{hour + 19:02}:00:00-05:00" for hour in range(5)]),
    "daylight saving begins": lines(
        [f"2024-02-29T{h:02}:00:00-05:00" for h in (19, 20, 21)]
        + [f"2024-02-29T{h:02}:00:00-04:00" for h in (23,)]
        + ["2024-03-01T00:00:00-04:00"]
    ),
    "different lengths": lines(
        [HOURS[0], f"{HOURS[1][:16]}Z", f"{HOURS[2][:19]}+00:00", HOURS[3], f"{HOURS[4][:19]}.000Z"]
    ),
    "unix seconds": lines([f"{seconds(hour)}" for hour in range(5)]),
    "unix milliseconds": lines([f"{seconds(hour)}000" for hour in range(5)]),
    "unix microseconds": lines([f"{seconds(hour)}000000" for hour in range(5)]),
    "unix nanoseconds": lines([f"{seconds(hour)}000000000" for hour in range(5)]),
}


@pytest.mark.parametrize("content", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_it_reads_every_spelling_of_the_same_candles(tmp_path: Path, content: bytes | str | list[str]):
    frame = csv_file.read(write(tmp_path, content), "1h")
    pd.testing.assert_frame_equal(frame, EXPECTED)
    validate(frame, "1h")


CELL_BY_CELL = {"control characters around numbers", "lines of many fields"}


@pytest.mark.parametrize("name", sorted(SPELLINGS.keys() - CELL_BY_CELL))
def test_no_usual_spelling_is_parsed_cell_by_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.delattr(csv_block, "_cell_by_cell")
    pd.testing.assert_frame_equal(csv_file.read(write(tmp_path, SPELLINGS[name]), "1h"), EXPECTED)


def test_times_are_read_from_a_part_of_a_column():
    texts = pa.array([b"yesterday", *(time.encode() for time in HOURS)]).slice(1, 2)
    assert parse_times(texts)[0].tolist() == [pd.Timestamp(time).tz_convert(None) for time in HOURS[:2]]


def test_dates_alone_are_midnight_utc(tmp_path: Path):
    frame = csv_file.read(write(tmp_path, lines(["2024-02-28", "2024-02-29", "2024-03-01"])), "1d")
    assert frame.index[1] == pd.Timestamp("2024-02-29T00:00:00Z")


def test_unix_seconds_before_2001_have_nine_digits(tmp_path: Path):
    frame = csv_file.read(write(tmp_path, lines(["999993600", "999997200", "1000000800"])), "1h")
    assert frame.index[2] == pd.Timestamp("2001-09-09T02:00:00Z")


@pytest.mark.parametrize(
    "number", ["0.1", "0.14550000429153442", "18251592538769.00", "1.7976931348623157e300", "0.30000000000000004"]
)
def test_a_number_becomes_the_nearest_float(tmp_path: Path, number: str):
    frame = csv_file.read(write(tmp_path, lines(values=",".join([number] * 5))), "1h")
    assert frame["close"].tolist() == [float(number)] * 5


def hours(count: int) -> pd.DatetimeIndex:
    return pd.date_range("1990-01-01", periods=count, freq="h", tz="UTC", unit="us")


def test_a_file_of_many_blocks_reads_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", 100)
    times = hours(500)
    path = write(tmp_path, lines([time.isoformat() for time in times]))
    frame = csv_file.read(path, "1h")
    assert frame.index.equals(times)
    assert all(frame[name].to_numpy().flags.c_contiguous for name in COLUMNS)


def test_a_file_whose_lines_get_shorter_reads_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", 1000)
    long = [f"{time},{VALUES}{'0' * 400}" for time in hours(3).strftime("%Y-%m-%dT%H:%M:%SZ")]
    short = [f"{time},1,1,1,1,{volume}" for volume, time in enumerate(hours(503).strftime("%Y-%m-%dT%H:%M")[3:])]
    content = [HEADER, *long, *(f"{line[:16]}Z{line[16:]}" for line in short)]
    frame = csv_file.read(write(tmp_path, content), "1h")
    assert frame.index.equals(hours(503))
    assert frame["volume"].tolist() == [12.5] * 3 + list(range(500))


@pytest.mark.parametrize("line", [2, 3, 4, 250, 501])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1990-01-01,x,1,1,1,1", "open is 'x'"),
        ("1990-13-01T00:00:00Z,1,1,1,1,1", "does not exist"),
        ("", "an empty line"),
    ],
)
def test_lines_are_counted_over_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: int, text: str, problem: str
):
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", 100)
    content = lines([time.isoformat() for time in hours(600)])
    content[line - 1] = text
    with pytest.raises(CandleFileError, match=problem) as caught:
        csv_file.read(write(tmp_path, content), "1h")
    assert caught.value.line == line


def test_of_two_defects_in_two_blocks_the_first_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", 100)
    content = lines([time.isoformat() for time in hours(50)])
    content[20] = content[23] = "x"
    content[26] = "9" * (csv_block.LONGEST_LINE + 200)
    with pytest.raises(CandleFileError) as caught:
        csv_file.read(write(tmp_path, content), "1h")
    assert (caught.value.line, caught.value.problem) == (21, "1 fields, but the header has 6")


def test_a_file_that_becomes_shorter_ends_there():
    assert list(csv_file._blocks(io.BytesIO(b"1,2\n3,4\n"), 100)) == [b"1,2\n3,4\n"]


def test_it_refuses_a_folder(tmp_path: Path):
    with pytest.raises(CandleFileError, match="is a folder, not a file"):
        csv_file.read(tmp_path, "1h")


def test_it_refuses_a_device():
    with pytest.raises(CandleFileError, match="is not a regular file"):
        csv_file.read(Path(os.devnull), "1h")


def test_it_refuses_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(CandleFileError, match=r"X_1h.csv: cannot be read: No such file"):
        csv_file.read(tmp_path / "X_1h.csv", "1h")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_it_refuses_a_file_it_may_not_read(tmp_path: Path):
    path = write(tmp_path, lines())
    path.chmod(0)
    with pytest.raises(CandleFileError, match="cannot be read: Permission denied"):
        csv_file.read(path, "1h")


def test_it_refuses_a_huge_file_without_reading_it(tmp_path: Path):
    path = tmp_path / "BTCUSDT_1h.csv"
    with path.open("wb") as file:
        file.truncate(csv_file.LARGEST_FILE_BYTES + 1)
    started = time.perf_counter()
    with pytest.raises(CandleFileError, match=re.escape("has 2,147,483,649 bytes")):
        csv_file.read(path, "1h")
    assert time.perf_counter() - started < 1


def test_it_refuses_an_unknown_interval(tmp_path: Path):
    with pytest.raises(CandleError, match="unknown interval '7h'"):
        csv_file.read(write(tmp_path, lines()), "7h")


def test_the_file_of_the_interval_comes_before_the_plain_one(tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    plain = write(first, lines(), "BTCUSDT.csv")
    assert csv_file.find("btcusdt", "1h", [first, second]) == plain
    exact = write(second, lines(), "BTCUSDT_1h.csv")
    assert csv_file.find("BTCUSDT", "1h", [first, second]) == exact
    nearer = write(first, lines(), "BTCUSDT_1h.csv")
    assert csv_file.find("BTCUSDT", "1h", [first, second]) == nearer


def test_the_users_folder_comes_before_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert csv_file.find("GOOG", "1d") == csv_file.PROJECT / "data" / "GOOG_1d.csv"
    (tmp_path / "backend" / "data").mkdir(parents=True)
    own = write(tmp_path / "backend" / "data", lines(), "GOOG_1d.csv")
    assert csv_file.find("GOOG", "1d") == own


def test_a_missing_series_names_the_places_and_what_is_there(tmp_path: Path):
    for name in ("GOOG_1d.csv", "GOOG_1w.csv", "GOOGL_1h.csv"):
        write(tmp_path, lines(), name)
    with pytest.raises(CandleFileMissing) as caught:
        csv_file.find("GOOG", "1h", [tmp_path, tmp_path / "absent"])
    assert str(caught.value) == (
        f"no candle file for GOOG 1h: looked for GOOG_1h.csv and GOOG.csv in {tmp_path}, {tmp_path / 'absent'}; "
        "files of GOOG there: GOOG_1d.csv, GOOG_1w.csv"
    )


@pytest.mark.parametrize("symbol", ["../secret", "a/b", "..", "", "X\0"])
def test_no_symbol_leaves_the_folder(tmp_path: Path, symbol: str):
    with pytest.raises(SymbolError):
        csv_file.find(symbol, "1h", [tmp_path])


def test_no_interval_leaves_the_folder(tmp_path: Path):
    with pytest.raises(CandleError):
        csv_file.find("BTCUSDT", "/../../x", [tmp_path])


MILLION = """
import re, sys, time
from pathlib import Path
from market.sources import csv_block, csv_file
started = time.process_time()
frame = csv_file.read(Path(sys.argv[1]), "1m")
cpu_seconds = time.process_time() - started
# Not getrusage, whose peak starts at that of the process that forked this one.
peak_kilobytes = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(len(frame), cpu_seconds, int(peak_kilobytes) / 1024)
"""


@pytest.mark.slow
def test_a_million_candles_take_little_time_and_memory(tmp_path: Path):
    closes = 30_000 + np.random.default_rng(7).normal(0, 1, 1_000_000).cumsum().round(2)
    times = pd.date_range("2020-01-01", periods=len(closes), freq="min", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
    columns = {
        "timestamp": times,
        "open": closes,
        "high": closes + 5,
        "low": closes - 5,
        "close": closes,
        "volume": 1.25,
    }
    path = tmp_path / "BTCUSDT_1m.csv"
    pd.DataFrame(columns).round(2).to_csv(path, index=False)
    command = [sys.executable, "-c", MILLION, str(path)]
    backend = Path(csv_file.__file__).parents[2]
    result = subprocess.run(command, cwd=backend, capture_output=True, text=True, check=True)
    rows, cpu_seconds, peak_megabytes = map(float, result.stdout.split())
    assert rows == 1_000_000
    # Measured: 0.3 s and 225 MB. The bounds leave room for a slow machine, not for another order of growth.
    assert cpu_seconds < 3
    assert peak_megabytes < 350
