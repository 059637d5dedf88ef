"""Stops inside candles, on candles whose answer is plain."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.stop_fills import beside_finer, by_finer, coarser, inside_only, reached


def candles(rows: list[tuple[float, float, float, float]]) -> pd.DataFrame:
    index = pd.date_range("2024-01-01", periods=len(rows), freq="min", tz="UTC", name="timestamp")
    return pd.DataFrame(rows, index=index, columns=["open", "high", "low", "close"])


def test_a_stop_is_reached_by_the_first_low_that_is_not_above_it() -> None:
    stops = reached(candles([(100, 101, 99.5, 100), (100, 100, 98, 98), (98, 98, 97.5, 97.8)]), 0.01)
    assert stops.rows.tolist() == [1, 1]
    assert stops.levels.tolist() == pytest.approx([99.0, 99.0])
    assert stops.inside.all()


def test_a_candle_that_opens_beyond_the_stop_is_not_inside() -> None:
    stops = reached(candles([(100, 100, 99.5, 100), (97, 98, 96, 97)]), 0.02)
    assert stops.inside.tolist() == [False]
    assert inside_only(stops).rows.size == 0


FINE = [
    (100, 100.2, 99.8, 100),
    (100, 100, 99.2, 99.3),
    (98.9, 99.2, 98.5, 98.6),
    (98.6, 98.7, 97, 97.5),
    (97.5, 97.5, 97.5, 97.5),
]


def test_finer_candles_tell_that_a_price_jumped_over_the_level() -> None:
    fine = candles(FINE)
    coarse = coarser(fine, "5m")
    stops = reached(coarse, 0.01)
    fills, worst = by_finer(stops, coarse, fine, pd.Timedelta("5min"))
    assert (fills.tolist(), worst.tolist()) == ([98.9], [98.5])


def test_basis_points_are_of_the_level() -> None:
    low, filled, bound = beside_finer(candles(FINE), "5m", 0.01)[:, 0]
    assert np.array([low, filled, bound]) == pytest.approx(1e4 * np.array([2.0, 0.1, 0.5]) / 99)
