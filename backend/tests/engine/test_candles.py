from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.candles import COLUMNS, INTERVALS, CandleError, Defect, Gap, find_gaps, interval_length, validate
from tests.markets import random_candles, real_candles

DIRTY_ROW = 7


def frame() -> pd.DataFrame:
    return random_candles(20)


def with_value(column: str, value: float) -> pd.DataFrame:
    spoiled = frame()
    spoiled.iloc[DIRTY_ROW, spoiled.columns.get_loc(column)] = value
    return spoiled


def with_times(times: Callable[[pd.DatetimeIndex], pd.Index]) -> pd.DataFrame:
    spoiled = frame()
    spoiled.index = times(pd.DatetimeIndex(spoiled.index))
    return spoiled


def swapped(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    order = np.arange(len(index))
    order[[DIRTY_ROW - 1, DIRTY_ROW]] = order[[DIRTY_ROW, DIRTY_ROW - 1]]
    return index[order]


def repeated(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    return index.where(np.arange(len(index)) != DIRTY_ROW, index[DIRTY_ROW - 1])


def lost(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    return index.where(np.arange(len(index)) != DIRTY_ROW, pd.NaT)


SPOILED = [
    (Defect.MISSING_COLUMN, None, lambda: frame().drop(columns="low")),
    (Defect.EMPTY, None, lambda: frame().iloc[:0]),
    (Defect.NOT_A_TIME, None, lambda: frame().reset_index(drop=True)),
    (Defect.NOT_A_TIME, DIRTY_ROW, lambda: with_times(lost)),
    (Defect.NOT_UTC, None, lambda: with_times(lambda index: index.tz_localize(None))),
    (Defect.NOT_UTC, None, lambda: with_times(lambda index: index.tz_convert("Europe/London"))),
    (Defect.NOT_UTC, None, lambda: with_times(lambda index: index.tz_convert("+01:00"))),
    (Defect.UNSORTED, DIRTY_ROW, lambda: with_times(swapped)),
    (Defect.DUPLICATE, DIRTY_ROW, lambda: with_times(repeated)),
    (Defect.NOT_A_NUMBER, None, lambda: frame().assign(close="much")),
    (Defect.NOT_A_NUMBER, DIRTY_ROW, lambda: with_value("close", np.nan)),
    (Defect.NOT_A_NUMBER, DIRTY_ROW, lambda: with_value("high", np.inf)),
    (Defect.NOT_A_NUMBER, DIRTY_ROW, lambda: with_value("volume", np.nan)),
    (Defect.PRICE_NOT_POSITIVE, DIRTY_ROW, lambda: with_value("low", 0.0)),
    (Defect.PRICE_NOT_POSITIVE, DIRTY_ROW, lambda: with_value("open", -1.0)),
    (Defect.NEGATIVE_VOLUME, DIRTY_ROW, lambda: with_value("volume", -0.5)),
    (Defect.HIGH_BELOW_LOW, DIRTY_ROW, lambda: with_value("high", 1.0)),
    (Defect.BODY_OUTSIDE_RANGE, DIRTY_ROW, lambda: with_value("close", 5000.0)),
    (Defect.BODY_OUTSIDE_RANGE, DIRTY_ROW, lambda: with_value("open", 1.0)),
]


@pytest.mark.parametrize(("defect", "row", "spoiled"), SPOILED)
def test_a_defect_is_named_with_its_row(defect: Defect, row: int | None, spoiled: Callable[[], pd.DataFrame]):
    with pytest.raises(CandleError) as caught:
        validate(spoiled())
    assert (caught.value.defect, caught.value.row) == (defect, row)


@pytest.mark.parametrize(
    ("interval", "rows", "row"),
    [("1d", slice(None), None), ("15m", slice(None), None), ("2h", [0, 2, 4, 6, 8, 9, 11], 5)],
)
def test_candles_of_another_interval_are_refused(interval: str, rows: slice | list[int], row: int | None):
    with pytest.raises(CandleError) as caught:
        validate(frame().iloc[rows], interval)
    assert (caught.value.defect, caught.value.row) == (Defect.WRONG_INTERVAL, row)


def test_an_unknown_interval_is_refused():
    for call in (lambda: interval_length("7m"), lambda: validate(frame(), "7m")):
        with pytest.raises(CandleError, match="known are 1m, ") as caught:
            call()
        assert caught.value.defect is Defect.UNKNOWN_INTERVAL


def test_every_defect_is_tested():
    tested = {defect for defect, _, _ in SPOILED} | {Defect.WRONG_INTERVAL, Defect.UNKNOWN_INTERVAL}
    assert tested == set(Defect)


def test_a_valid_frame_passes_unchanged():
    valid = frame()
    before = valid.copy(deep=True)
    pd.testing.assert_frame_equal(validate(valid, "1h"), before, check_exact=True)
    pd.testing.assert_frame_equal(valid, before, check_exact=True)


def test_other_columns_are_dropped_and_whole_numbers_become_floats():
    mixed = pd.DataFrame({"note": "x", "volume": 3, "close": 10, "low": 10, "high": 10, "open": 10}, frame().index)
    found = validate(mixed)
    assert tuple(found.columns) == COLUMNS
    assert set(found.dtypes) == {np.dtype(np.float64)}


def test_a_single_candle_agrees_with_every_interval():
    for interval in INTERVALS:
        validate(frame().iloc[:1], interval)


@pytest.mark.parametrize(
    ("name", "interval"), [("BTCUSDT_1h", "1h"), ("SPY_1d", "1d"), ("SPY_1h", "1h"), ("GBPUSD_1m", "1m")]
)
def test_real_candles_are_valid(real_data: Path, name: str, interval: str):
    candles = real_candles(real_data, name)
    pd.testing.assert_frame_equal(validate(candles, interval), candles, check_exact=True)


def test_a_day_of_23_hours_is_a_day():
    days = pd.date_range("2024-03-25", periods=14, freq="D", tz="Europe/London").tz_convert("UTC")
    validate(frame().iloc[:14].set_axis(days), "1d")


def test_the_outages_of_an_exchange_are_found(real_data: Path):
    candles = real_candles(real_data, "BTCUSDT_1h")
    gaps = find_gaps(pd.DatetimeIndex(candles.index), "1h")
    assert (len(gaps), sum(gap.missing for gap in gaps), max(gap.missing for gap in gaps)) == (5, 12, 4)
    assert [gap.after for gap in gaps] == sorted(gap.after for gap in gaps)


def test_a_gap_is_named_by_its_neighbours():
    times = pd.DatetimeIndex(frame().iloc[[0, 1, 4, 5]].index)
    assert find_gaps(times, "1h") == [Gap(after=times[1], before=times[2], missing=2)]
    assert find_gaps(times[:2], "1h") == []


def test_every_interval_is_as_long_as_its_name_says():
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    for name in INTERVALS:
        assert interval_length(name) == timedelta(**{units[name[-1]]: int(name[:-1])})


def test_column_names_stay_with_python_where_pyarrow_is_installed():
    assert pd.DataFrame(columns=list(COLUMNS)).columns.dtype.storage == "python"
