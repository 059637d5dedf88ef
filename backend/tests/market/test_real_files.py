"""Files as exchanges and sites publish them; they do not ship with the project."""

from pathlib import Path

import pandas as pd
import pytest

from engine.candles import validate
from market.calendar.gaps import gaps_line
from market.errors import CandleFileError
from market.instruments import inferred_tick
from market.sources import csv_file
from market.symbols import kind_of

KINDS = {"GOOG": "stock", "AAPL": "stock", "SPY": "stock", "EURUSD": "forex", "GBPUSD": "forex"}


def test_every_clean_file_loads(real_data: Path):
    files = sorted(real_data.glob("*.csv"))
    assert len(files) >= 20
    for file in files:
        symbol, interval = file.stem.split("_")
        assert csv_file.find(symbol, interval, [real_data]) == file
        frame = csv_file.read(file, interval)
        assert len(frame) == len(file.read_bytes().splitlines()) - 1
        validate(frame, interval)
        assert kind_of(symbol) == KINDS.get(symbol, "crypto")


def test_the_fast_path_agrees_with_pandas(real_data: Path):
    for name in ("BTCUSDT_1h", "PEPEUSDT_1h", "EURUSD_1h", "SPY_1h"):
        frame = csv_file.read(real_data / f"{name}.csv", "1h")
        slow = pd.read_csv(real_data / f"{name}.csv", converters=dict.fromkeys(frame.columns, float))
        times = pd.to_datetime(slow.pop("timestamp"), format="ISO8601", utc=True)
        pd.testing.assert_frame_equal(frame, slow.set_index(pd.DatetimeIndex(times, name="open_time").as_unit("us")))


@pytest.mark.parametrize(
    ("name", "interval", "line", "problem"),
    [
        ("Coinbase_BTCUSD_1h_raw", "1h", 1, "the header is on line 2; remove what is above it"),
        ("Coinbase_BTCUSD_1d_raw", "1d", 1, "the header is on line 2; remove what is above it"),
        ("SPY_1d_yahoo_raw", "1d", 1808, "open or close lies outside low..high"),
        ("yahoo_AET-L-1d-100x-error", "1d", 3, "the time 2022-05-31T23:00:00+00:00 comes after a later one"),
        ("yahoo_AET-L-1d-100x-error-fixed", "1d", 3, "the time 2022-05-31T23:00:00+00:00 comes after a later one"),
        ("AEURUSDT_15m_raw", "1h", None, "the candles are 15m apart, but the interval is 1h"),
    ],
)
def test_a_dirty_file_is_refused_at_its_line(real_data: Path, name: str, interval: str, line: int | None, problem: str):
    with pytest.raises(CandleFileError) as caught:
        csv_file.read(real_data / "dirty" / f"{name}.csv", interval)
    assert (caught.value.line, caught.value.problem) == (line, problem)


def test_without_its_preamble_the_hourly_file_shows_its_next_defect(real_data: Path, tmp_path: Path):
    content = (real_data / "dirty" / "Coinbase_BTCUSD_1h_raw.csv").read_bytes()
    file = tmp_path / "BTCUSD_1h.csv"
    file.write_bytes(content[content.index(b"\n") + 1 :])
    with pytest.raises(CandleFileError, match=r"line 2: '2019-10-17 09-AM' is not a time"):
        csv_file.read(file, "1h")


@pytest.mark.parametrize(
    ("name", "interval", "rows"),
    [
        ("AAPL_1d_unadjusted", "1d", 5849),
        ("AEURUSDT_15m_raw", "15m", 2283),
        ("BTCUSDT_1h_tail48_raw", "1h", 48),
        ("yahoo_ALPHA-PA-1d-bad-stock-split", "1d", 29),
        ("yahoo_ALPHA-PA-1d-bad-stock-split-fixed", "1d", 29),
        ("yahoo_ASAI-L-1h-bad-unit", "1h", 20),
        ("yahoo_ASAI-L-1h-bad-unit-fixed", "1h", 20),
    ],
)
def test_what_is_odd_but_well_formed_is_for_others_to_judge(real_data: Path, name: str, interval: str, rows: int):
    assert len(csv_file.read(real_data / "dirty" / f"{name}.csv", interval)) == rows


@pytest.mark.parametrize(
    ("symbol", "interval", "line"),
    [
        (
            "BTCUSDT",
            "1h",
            "5 gaps, reported and not filled: 12 1h candles are missing; "
            "the longest lacks 4 after 2021-08-13 01:00 UTC",
        ),
        (
            "SPY",
            "1h",
            "1 gap, reported and not filled: 2 1h candles are missing; the longest lacks 2 after 2002-09-10 19:00 UTC",
        ),
        ("BTCUSDT", "5m", None),
        ("EURUSD", "1h", None),
        ("GOOG", "1d", None),
    ],
)
def test_gaps_are_described_in_one_line(real_data: Path, symbol: str, interval: str, line: str | None):
    frame = csv_file.read(real_data / f"{symbol}_{interval}.csv", interval)
    assert gaps_line(frame, interval, symbol) == line


@pytest.mark.parametrize(
    ("name", "tick"),
    [("BTCUSDT_1h", "0.01"), ("PEPEUSDT_1h", "1E-8"), ("EURUSD_1h", "0.00001"), ("ETHBTC_5m", "1E-8")],
)
def test_the_tick_is_the_step_of_the_prices(real_data: Path, name: str, tick: str):
    frame = csv_file.read(real_data / f"{name}.csv", name.split("_")[1])
    assert str(inferred_tick(frame)) == str(inferred_tick(frame.iloc[:200])) == tick
