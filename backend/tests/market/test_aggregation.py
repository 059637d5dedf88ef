from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candles import INTERVALS, CandleError, validate
from market.calendar.sessions import session_of
from market.sources.built import AggregationError, aggregate, lower_interval
from tests.markets import random_candles, real_candles

DAY = random_candles(24 * 6)


@pytest.mark.parametrize(("lower", "higher", "whole", "incomplete"), [("5m", "15m", 960, 1), ("15m", "1d", 188, 6)])
def test_it_equals_what_the_exchange_reports(real_data: Path, lower: str, higher: str, whole: int, incomplete: int):
    """Both sides come from Binance. To the last bit, volumes included."""
    parts = real_candles(real_data, f"BTCUSDT_{lower}")
    built = aggregate(parts, lower, higher)
    reported = real_candles(real_data, f"BTCUSDT_{higher}")
    begun = parts.index.floor(INTERVALS[higher]).unique()
    assert (len(built), len(begun.difference(built.index))) == (whole, incomplete)
    pd.testing.assert_frame_equal(
        built, reported.loc[built.index], check_exact=True, check_names=False, check_index_type=False
    )


def test_days_of_a_sleeping_market_are_its_sessions(real_data: Path):
    hours, days = real_candles(real_data, "SPY_1h"), real_candles(real_data, "SPY_1d")
    built = aggregate(hours, "1h", "1d", session_of("SPY"))
    assert built.index.isin(days.index).all()
    # That day New York opened late: two of its hours are missing.
    assert [f"{time:%Y-%m-%d}" for time in days.index.difference(built.index)] == ["2002-09-11"]


def test_a_candle_that_lacks_a_part_is_not_built():
    built = aggregate(DAY.drop(DAY.index[[5, 30]]), "1h", "4h")
    assert built.index.equals(DAY.index[::4].delete([1, 7]))


def test_a_forming_candle_is_not_built():
    built = aggregate(DAY.iloc[:7], "1h", "4h")
    assert list(built.index) == [DAY.index[0]]


def test_volumes_add_up_in_their_own_places():
    frame = DAY.iloc[:4].assign(volume=[0.1, 0.2, 0.3, 0.1])
    assert aggregate(frame, "1h", "4h")["volume"].tolist() == [0.7]


@pytest.mark.parametrize(("lower", "higher"), [("1h", "1h"), ("4h", "1h"), ("2h", "3m"), ("4h", "6h")])
def test_an_interval_that_does_not_fit_is_refused(lower: str, higher: str):
    with pytest.raises(AggregationError):
        aggregate(DAY, lower, higher)


def test_an_unknown_interval_is_refused():
    with pytest.raises(CandleError):
        aggregate(DAY, "1h", "7h")


def test_of_no_candles_none_are_built():
    assert aggregate(DAY.iloc[:0], "1h", "4h").empty


@pytest.mark.parametrize(
    ("wanted", "available", "lower"),
    [("1h", ["1m", "15m", "1d"], "15m"), ("6h", ["4h", "1h"], "1h"), ("1m", ["5m"], None), ("1w", ["1d"], "1d")],
)
def test_the_longest_that_fits_is_built_from(wanted: str, available: list[str], lower: str | None):
    assert lower_interval(wanted, available) == lower


@settings(max_examples=80, deadline=None)
@given(
    rows=st.sets(st.integers(0, len(DAY) - 1), min_size=1),
    higher=st.sampled_from(["2h", "4h", "6h", "12h", "1d"]),
    symbol=st.sampled_from(["BTCUSDT", "EURUSD", "AAPL"]),
)
def test_what_is_built_is_sound_and_nothing_else_than_its_parts(rows: set[int], higher: str, symbol: str):
    frame, session = DAY.iloc[sorted(rows)], session_of(symbol)
    built = aggregate(frame, "1h", higher, session)
    if built.empty:
        return
    validate(built)
    assert built["volume"].sum() <= frame["volume"].sum() * (1 + 1e-12)
    assert set(built["open"]) <= set(frame["open"])
    assert set(built["close"]) <= set(frame["close"])
    if symbol == "BTCUSDT":
        parts = int(INTERVALS[higher] / INTERVALS["1h"])
        slow = DAY.resample(higher, origin="epoch").agg({"high": "max", "low": "min"})
        assert np.array_equal(built[["high", "low"]], slow.loc[built.index])
        assert len(built) * parts <= len(frame)
