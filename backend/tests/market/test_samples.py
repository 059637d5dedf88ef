"""The candles that ship with the project are what their README says."""

import pandas as pd
import pytest

from engine.candles import find_gaps
from market.sources import csv_file

FOLDER = csv_file.PROJECT / "data"


@pytest.mark.parametrize(
    ("symbol", "interval", "rows", "first", "last"),
    [
        ("GOOG", "1d", 2148, "2004-08-19T00:00Z", "2013-03-01T00:00Z"),
        ("IBM", "1d", 3270, "2000-03-01T00:00Z", "2013-03-01T00:00Z"),
        ("EURUSD", "1h", 6225, "2017-01-01T22:00Z", "2017-12-29T21:00Z"),
    ],
)
def test_a_sample_is_found_and_sound(symbol: str, interval: str, rows: int, first: str, last: str):
    frame = csv_file.read(csv_file.find(symbol, interval), interval)
    assert (len(frame), frame.index[0], frame.index[-1]) == (rows, pd.Timestamp(first), pd.Timestamp(last))
    readme = (FOLDER / "README.md").read_text()
    assert f"| `{symbol}_{interval}.csv` | {rows:,} |" in readme


@pytest.mark.parametrize("symbol", ["GOOG", "IBM"])
def test_no_split_is_inside(symbol: str):
    closes = csv_file.read(csv_file.find(symbol, "1d"), "1d")["close"]
    assert closes.pct_change().abs().max() < 0.25


def test_the_holes_are_those_of_the_readme():
    frame = csv_file.read(csv_file.find("EURUSD", "1h"), "1h")
    gaps = find_gaps(frame.index, "1h")
    assert (len(gaps), sum(gap.missing for gap in gaps)) == (52, 2463)
    for symbol, absent in (("GOOG", 79), ("IBM", 123)):
        days = csv_file.read(csv_file.find(symbol, "1d"), "1d").index
        assert len(pd.bdate_range(days[0], days[-1]).difference(days)) == absent


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.csv")), ids=lambda file: file.name)
def test_the_text_is_plain(file):
    content = file.read_text(encoding="ascii")
    assert content.startswith("timestamp,open,high,low,close,volume\n")
    assert content.endswith("\n")
    assert not set(content.split("\n", 1)[1]) - set("0123456789-:.,TZ\n")
