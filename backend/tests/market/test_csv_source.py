"""The user's own files as a source among others."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from market.errors import NotServed
from market.sources.base import Prices
from market.sources.client import HttpSettings
from market.sources.csv_source import CsvSource

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
NOW = FIRST + timedelta(hours=47, minutes=30)


def write(folder: Path, hours: int = 48, price: str = "5") -> Path:
    path = folder / "BTCUSDT_1h.csv"
    times = (FIRST + timedelta(hours=hour) for hour in range(hours))
    rows = [f"{time:%Y-%m-%dT%H:%M:%SZ},{price},9,4,{price},1" for time in times]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]))
    return path


@pytest.fixture
def source(tmp_path: Path) -> CsvSource:
    write(tmp_path)
    return CsvSource([tmp_path], HttpSettings(clock=lambda: NOW))


def test_the_candles_of_a_time_without_the_one_still_forming(source: CsvSource):
    candles = source.candles("BTCUSDT", "1h", FIRST + timedelta(hours=10), NOW)
    assert [candles.index[0].hour, candles.index[-1].hour, len(candles)] == [10, 22, 37]
    assert source.prices is Prices.AS_GIVEN


@pytest.mark.parametrize(("start", "end"), [(-20, 0), (48, 60)])
def test_a_time_that_the_file_does_not_reach_is_not_served(source: CsvSource, start: int, end: int):
    with pytest.raises(NotServed, match=r"BTCUSDT_1h\.csv holds 2024-01-01 00:00 to 2024-01-02 23:00 UTC only"):
        source.candles("BTCUSDT", "1h", FIRST + timedelta(hours=start), FIRST + timedelta(hours=end))


def test_a_file_that_is_missing_or_unsound_says_so(source: CsvSource, tmp_path: Path):
    with pytest.raises(NotServed, match="csv: no candle file for BTCUSDT 5m"):
        source.candles("BTCUSDT", "5m", FIRST, NOW)
    write(tmp_path, price="50")
    with pytest.raises(NotServed, match=r"csv: .*line 2: "):
        source.candles("BTCUSDT", "1h", FIRST, NOW)


def test_a_file_that_has_changed_is_read_again(source: CsvSource, tmp_path: Path):
    assert source.candles("BTCUSDT", "1h", FIRST, NOW)["close"].iloc[0] == 5
    path = write(tmp_path, price="6")
    os.utime(path, ns=(1, 1))
    assert source.candles("BTCUSDT", "1h", FIRST, NOW)["close"].iloc[0] == 6


def test_what_is_handed_out_may_be_changed_by_whoever_has_it(source: CsvSource):
    candles = source.candles("BTCUSDT", "1h", FIRST, NOW)
    candles.loc[:, "close"] = 1.0
    assert source.candles("BTCUSDT", "1h", FIRST, NOW)["close"].iloc[0] == 5


def test_a_file_has_no_prices_of_now(source: CsvSource):
    for ask in (source.quote, source.terms):
        with pytest.raises(NotServed):
            ask("BTCUSDT")
