import numpy as np
import pytest
from hypothesis import given

from engine.analysis import ANALYSIS, analysis, rsi_state, sma_cross, strength, trend
from engine.indicators import indicators
from tests.markets import Array, closes, made_candles, random_walk


def one(*values: float) -> list[Array]:
    return [np.array([value]) for value in values]


@pytest.mark.parametrize(
    ("close", "sma10", "sma20", "expected"),
    [
        (3, 2, 1, 1),
        (1, 2, 3, -1),
        (2, 2, 1, 0),
        (3, 2, 2, 0),
        (1, 2, 2, 0),
        (1, 2, 1, 0),
        (3, 1, 2, 0),
        (2, 2, 2, 0),
        (3, 2, np.nan, np.nan),
    ],
)
def test_a_trend_needs_the_price_and_both_averages(close: float, sma10: float, sma20: float, expected: float):
    np.testing.assert_equal(trend(*one(close, sma10, sma20)), [expected])


@pytest.mark.parametrize(
    ("rsi", "expected"), [(70.0, 1), (69.99, 0), (30.0, -1), (30.01, 0), (100.0, 1), (0.0, -1), (np.nan, np.nan)]
)
def test_the_rsi_state_begins_at_its_bounds(rsi: float, expected: float):
    np.testing.assert_equal(rsi_state(np.array([rsi])), [expected])


@pytest.mark.parametrize(("sma10", "sma20", "expected"), [(2, 1, 1), (1, 2, -1), (1, 1, 0), (1, np.nan, np.nan)])
def test_the_cross_says_which_average_is_above(sma10: float, sma20: float, expected: float):
    np.testing.assert_equal(sma_cross(*one(sma10, sma20)), [expected])


def naive_strength(close: Array) -> Array:
    result = np.full(close.size, np.nan)
    for row in range(20, close.size):
        path = sum(abs(close[step] - close[step - 1]) for step in range(row - 19, row + 1))
        result[row] = abs(close[row] - close[row - 20]) / path if path > 0 else 0.0
    return result


@given(closes())
def test_strength_is_the_net_move_over_the_path(close: Array):
    found = strength(close)
    np.testing.assert_allclose(found, naive_strength(close), rtol=1e-12, atol=1e-12)
    assert ((found >= 0) & (found <= 1))[20:].all()


def test_a_straight_line_has_full_strength_and_a_dead_market_none():
    assert strength(np.arange(1.0, 60.0))[-1] == 1.0
    assert strength(np.full(60, 5.0))[-1] == 0.0


@given(closes(smallest=50))
def test_the_states_are_signs(close: Array):
    candles = made_candles(close)
    found = analysis(candles, indicators(candles))
    assert tuple(found.columns) == ANALYSIS
    for name in ("trend", "rsi_state", "sma_cross"):
        assert set(found[name].dropna()) <= {-1.0, 0.0, 1.0}


def test_a_rising_market_is_bull_and_its_mirror_is_bear():
    rising = made_candles(np.linspace(100, 200, 80))
    falling = made_candles(np.linspace(200, 100, 80))
    up, down = (analysis(candles, indicators(candles)).iloc[-1].to_dict() for candles in (rising, falling))
    assert up == {"trend": 1.0, "strength": pytest.approx(1.0), "rsi_state": 1.0, "sma_cross": 1.0}
    assert down == {"trend": -1.0, "strength": pytest.approx(1.0), "rsi_state": -1.0, "sma_cross": -1.0}


def test_nothing_is_said_while_warming_up():
    candles = made_candles(random_walk(30))
    found = analysis(candles, indicators(candles))
    assert [int(found[name].notna().argmax()) for name in ANALYSIS] == [19, 20, 14, 19]
