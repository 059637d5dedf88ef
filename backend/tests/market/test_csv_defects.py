"""What a candle file must not hold, each named with its line."""

from pathlib import Path

import pytest

from market.errors import CandleFileError, MarketError
from market.sources import csv_file
from tests.market.candle_files import HEADER, HOURS, VALUES, changed, lines, seconds, write

LINE_3 = HOURS[1]


def cell(text: str, column: str) -> list[str]:
    """The usual file with another text in a cell of line 3."""
    cells = [LINE_3, *VALUES.split(",")]
    cells[HEADER.split(",").index(column)] = text
    return changed(3, ",".join(cells))


def at(text: str) -> list[str]:
    return cell(text, "timestamp")


DEFECTS = {
    # the file
    "0 bytes": (b"", None, "the file is empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", None, "the file is empty"),
    "only empty lines": (b"\n\r\n\n", None, "the file is empty"),
    "header only": ([HEADER], None, "no candles after the header"),
    "a NUL byte": ("\n".join(changed(4, f"{HOURS[2]},1\0,2,1,1,1")), 4, "a NUL byte: this is not a text file"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", 1, "not UTF-8 text"),
    "UTF-16": ("\n".join(lines()).encode("utf-16"), 1, "a NUL byte: this is not a text file"),
    "Latin-1": ("\n".join(changed(3, "é")).encode("latin-1"), 3, "not UTF-8 text"),
    "a lone carriage return": ("\n".join(changed(3, f"{LINE_3},{VALUES}\r{LINE_3}")), 3, "a lone carriage return"),
    "a lone carriage return between lines": (
        [*lines()[:2], f"{LINE_3},{VALUES}\r{HOURS[2]},{VALUES}", *lines()[4:]],
        3,
        "a lone carriage return",
    ),
    "a NUL byte in another column": (
        [f"{HEADER},note", f"{HOURS[0]},{VALUES},", f"{LINE_3},{VALUES},\0"],
        3,
        "a NUL byte: this is not a text file",
    ),
    "Latin-1 in another column": (
        f"{HEADER},note\n{HOURS[0]},{VALUES},\n{LINE_3},{VALUES},é\n".encode("latin-1"),
        3,
        "not UTF-8 text",
    ),
    "old Mac line ends": ("\r".join(lines()), 1, "a lone carriage return"),
    # the header
    "missing columns": (
        ["timestamp,open,high,close", f"{LINE_3},1,2,1"],
        1,
        "missing column low, volume in the header",
    ),
    "no time column": (["when,open,high,low,close,volume", "x"], 1, "missing column timestamp in the header"),
    "no header": (lines()[1:], 1, "missing column timestamp, open, high, low, close, volume in the header"),
    "two time columns": (["date,time,open,high,low,close,volume", "x"], 1, "more than one time column: date, time"),
    "a column twice": ([f"{HEADER},Close", "x"], 1, "column close appears twice in the header"),
    "semicolons": (
        [line.replace(",", ";") for line in lines()],
        1,
        "the columns are separated by semicolons, not by commas",
    ),
    "tabs": ([line.replace(",", "\t") for line in lines()], 1, "the columns are separated by tabs, not by commas"),
    "a preamble": (["made by someone", *lines()], 1, "the header is on line 2; remove what is above it"),
    "an empty first line": (["", *lines()], 1, "the header is on line 2; remove what is above it"),
    # the lines
    "too few fields": (changed(3, f"{LINE_3},1,2,1,1"), 3, "5 fields, but the header has 6"),
    "too many fields": (changed(3, f"{LINE_3},{VALUES},7"), 3, "7 fields, but the header has 6"),
    "one too many, one too few": (
        [*changed(3, f"{LINE_3},{VALUES},7")[:-1], "a,b,c,d,e"],
        3,
        "7 fields, but the header has 6",
    ),
    "two halves of a line": ([HEADER, "a,b,c", "d,e,f"], 2, "3 fields, but the header has 6"),
    "an empty line": (changed(3, ""), 3, "an empty line"),
    "a line of spaces": (changed(3, "   "), 3, "an empty line"),
    "a cut last line": (changed(6, "2024-03-01T04:0"), 6, "1 fields, but the header has 6"),
    "a quoted line break": (changed(3, f'"{LINE_3}\n",{VALUES}'), 3, "a line break inside quotes"),
    "an open quote": (changed(3, f'"{LINE_3},{VALUES}'), 3, "quotes that do not match: unexpected end of data"),
    "a huge field": (cell("1" * 1001, "open"), 3, "a field of 1,001 bytes; the longest allowed has 1,000"),
    "a huge line": (changed(3, "1" * 3_000_000), 3, "a line longer than 1,048,576 bytes"),
    "a long number": (cell("0." + "1" * 999, "open"), 3, "a field of 1,001 bytes; the longest allowed has 1,000"),
    "a long text in another column": (
        [f"{HEADER},note", f"{HOURS[0]},{VALUES},", f"{LINE_3},{VALUES},{'x' * 1001}"],
        3,
        "a field of 1,001 bytes; the longest allowed has 1,000",
    ),
    "another header": (changed(3, HEADER), 3, "'timestamp' is not a time in ISO 8601 or unix seconds"),
    # the numbers
    "text": (cell("n/a", "high"), 3, "high is 'n/a', which is not a plain number"),
    "an empty cell": (cell("", "close"), 3, "close is empty"),
    "a blank cell": (cell("  ", "volume"), 3, "volume is empty"),
    "NaN": (cell("NaN", "low"), 3, "low is 'NaN', which is not a plain number"),
    "null": (cell("null", "open"), 3, "open is 'null', which is not a plain number"),
    "True": (cell("True", "open"), 3, "open is 'True', which is not a plain number"),
    "True in every line": (
        lines(values="100,110.5,90,105.25,True"),
        2,
        "volume is 'True', which is not a plain number",
    ),
    "NaN with a payload": (cell("nan(1)", "open"), 3, "open is 'nan(1)', which is not a plain number"),
    "infinity": (cell("inf", "high"), 3, "high is not a finite number"),
    "an infinite volume": (cell("inf", "volume"), 3, "volume is not a finite number"),
    "beyond the floats": (cell("1e400", "high"), 3, "high is not a finite number"),
    "thousands in quotes": (cell('"1,100.5"', "high"), 3, "high is '1 100.5', which is not a plain number"),
    "thousands": (cell("1 100.5", "high"), 3, "high is '1 100.5', which is not a plain number"),
    "a NUL byte in a number": (cell("100\0", "open"), 3, "a NUL byte: this is not a text file"),
    "a NUL byte in a time": (at(f"{LINE_3}\0"), 3, "a NUL byte: this is not a text file"),
    "underscore": (cell("1_100", "high"), 3, "high is '1_100', which is not a plain number"),
    "hexadecimal": (cell("0x70", "high"), 3, "high is '0x70', which is not a plain number"),
    "Arabic digits": (cell("\u0661", "high"), 3, "high is '\u0661', which is not a plain number"),
    "decimal comma": (cell("110,5", "high"), 3, "7 fields, but the header has 6"),
    "currency": (cell("$110", "high"), 3, "high is '$110', which is not a plain number"),
    "zero": (cell("0", "low"), 3, "low is not above zero"),
    "negative price": (cell("-1", "open"), 3, "open is not above zero"),
    "negative volume": (cell("-1", "volume"), 3, "volume is below zero"),
    "high below low": (cell("80", "high"), 3, "high is below low"),
    "open above high": (cell("111", "open"), 3, "open or close lies outside low..high"),
    "close below low": (cell("89", "close"), 3, "open or close lies outside low..high"),
    # the times
    "twice the same time": (at(HOURS[0]), 3, "the time 2024-03-01T00:00:00+00:00 stands twice"),
    "newest first": (lines(HOURS[4::-1]), 3, "the time 2024-03-01T03:00:00+00:00 comes after a later one"),
    "one out of order": (
        changed(5, f"{HOURS[0]},{VALUES}"),
        5,
        "the time 2024-03-01T00:00:00+00:00 comes after a later one",
    ),
    "no time": (at(""), 3, "the time is empty"),
    "a byte order mark below the header": (
        changed(2, f"\ufeff{HOURS[0]},{VALUES}"),
        2,
        f"'\\ufeff{HOURS[0]}' is not a time in ISO 8601 or unix seconds",
    ),
    "a word": (at("yesterday"), 3, "'yesterday' is not a time in ISO 8601 or unix seconds"),
    "NaT": (at("NaT"), 3, "'NaT' is not a time in ISO 8601 or unix seconds"),
    "American order": (at("03/01/2024 01:00"), 3, "'03/01/2024 01:00' is not a time in ISO 8601 or unix seconds"),
    "hour and half day": (at("2024-03-01 01-AM"), 3, "'2024-03-01 01-AM' is not a time in ISO 8601 or unix seconds"),
    "compact date": (at("20240301"), 3, "'20240301' is not a time in ISO 8601 or unix seconds"),
    "fraction of unix time": (at(f"{seconds(1)}.0"), 3, "'1709254800.0' is not a time in ISO 8601 or unix seconds"),
    "year 99999": (at("99999-03-01T01:00:00Z"), 3, "'99999-03-01T01:00:00Z' is not a time in ISO 8601 or unix seconds"),
    "year 9999": (at("9999-03-01T01:00:00Z"), 3, "the time '9999-03-01T01:00:00Z' is outside 1900..2199"),
    "year 2200": (at("2200-01-01T00:00:00Z"), 3, "the time '2200-01-01T00:00:00Z' is outside 1900..2199"),
    "year 1": (at("0001-03-01T01:00:00Z"), 3, "the time '0001-03-01T01:00:00Z' is outside 1900..2199"),
    "unix time beyond": (at("9999999999"), 3, "the time '9999999999' is outside 1900..2199"),
    "unix time too long": (at("9" * 19), 3, f"the time '{'9' * 19}' is outside 1900..2199"),
    "30 February": (at("2024-02-30T01:00:00Z"), 3, "'2024-02-30T01:00:00' does not exist in the calendar"),
    "hour 24": (at("2024-03-01T24:00:00Z"), 3, "'2024-03-01T24:00:00' does not exist in the calendar"),
    "offset of 30 hours": (
        at("2024-03-01T01:00:00+30:00"),
        3,
        "'2024-03-01T01:00:00+30:00' is not a time in ISO 8601 or unix seconds",
    ),
    "naive among aware": (
        at("2024-03-01T01:00:00"),
        3,
        "the time is without a time zone, but the first one is +0 h from UTC",
    ),
    "aware among naive": (
        [HEADER, f"2024-03-01T00:00:00,{VALUES}", f"{LINE_3},{VALUES}"],
        3,
        "the time is +0 h from UTC, but the first one is without a time zone",
    ),
    "unix time among ISO": (at(str(seconds(1))), 3, "the time is unix time, but the first one is +0 h from UTC"),
    "naive among unix time": (
        [HEADER, f"{seconds(0)},{VALUES}", f"2024-03-01T01:00:00,{VALUES}"],
        3,
        "the time is without a time zone, but the first one is unix time",
    ),
    "two time zones": (
        at("2024-03-01T06:30:00+05:30"),
        3,
        "the time is +5.5 h from UTC, but the first one is +0 h from UTC",
    ),
    "another interval": (
        lines([f"2024-03-0{day}" for day in range(1, 6)]),
        None,
        "the candles are 1d apart, but the interval is 1h",
    ),
    "a candle in between": (
        changed(6, f"2024-03-01T03:30:00Z,{VALUES}"),
        6,
        "a candle follows after 30m, but the interval is 1h",
    ),
}


@pytest.mark.parametrize(("content", "line", "problem"), DEFECTS.values(), ids=DEFECTS.keys())
def test_it_refuses_a_defect_in_one_line_that_says_where(
    tmp_path: Path, content: bytes | str | list[str], line: int | None, problem: str
):
    path = write(tmp_path, content)
    with pytest.raises(CandleFileError) as caught:
        csv_file.read(path, "1h")
    assert (caught.value.line, caught.value.problem) == (line, problem)
    assert str(caught.value) == f"{path}, line {line}: {problem}" if line else f"{path}: {problem}"
    assert isinstance(caught.value, MarketError)
