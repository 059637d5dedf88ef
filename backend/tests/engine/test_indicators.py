from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given

from engine.features import FeatureForm, feature_matrix
from engine.indicators import (
    INDICATORS,
    STILL_AFTER,
    WINDOW,
    bollinger,
    deviation,
    indicators,
    momentum,
    price_change,
    rsi,
    sma,
    window_sum,
)
from engine.snapshot import market_frame
from tests.markets import Array, assert_same_bits, closes, made_candles, random_walk, real_candles

REAL = ["BTCUSDT_1h", "SPY_1h", "GBPUSD_1m", "PEPEUSDT_1h", "TRXBTC_5m"]


def assert_close(ours: Array, theirs: Array, scale: Array | float) -> None:
    """Equal within 1e-9 of the scale, and NaN in the same places."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.nanmax(np.abs(ours - theirs) / scale, initial=0.0) < 1e-9


@pytest.mark.parametrize("name", REAL)
def test_the_indicators_are_those_of_talib(real_data: Path, name: str):
    close = real_candles(real_data, name)["close"].to_numpy()
    ours = indicators(real_candles(real_data, name))
    for length in (10, 20, 50):
        assert_close(ours[f"sma{length}"].to_numpy(), talib.SMA(close, length), close)
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    assert_close(ours["sma20"].to_numpy(), middle, close)
    for name_, line in (("bollinger_upper", upper), ("bollinger_lower", lower)):
        assert_close(ours[name_].to_numpy(), line, close)
    # TA-Lib takes the difference of two running sums of squares: of its deviation, fewer digits are good.
    assert_close(ours["volatility"].to_numpy(), talib.STDDEV(close, 20) * np.sqrt(20 / 19), close)
    assert_close(ours["rsi14"].to_numpy(), talib.RSI(close, 14), 1.0)
    for name_, line in zip(("macd", "macd_signal", "macd_hist"), talib.MACD(close, 12, 26, 9), strict=True):
        assert_close(ours[name_].to_numpy(), line, close)


@given(closes())
def test_a_window_sum_is_the_sum_of_the_window(close: Array):
    for length in (1, 2, 10, 14, 20, 50):
        expected = [
            float(sum(map(Fraction, close[row - length + 1 : row + 1]))) for row in range(length - 1, close.size)
        ]
        found = window_sum(close, length)
        assert np.isnan(found[: length - 1]).all()
        np.testing.assert_allclose(found[length - 1 :], expected, rtol=1e-14)


@given(closes())
def test_the_deviation_is_that_of_a_sample(close: Array):
    expected = pd.Series(close).rolling(20).apply(lambda window: window.std(ddof=1)).to_numpy()
    np.testing.assert_allclose(deviation(close, 20), expected, rtol=1e-9, atol=1e-14 * close.max())


def naive_rsi(close: Array) -> Array:
    """Wilder's own words: averages of the first 14 gains and losses, then 13 parts old and one part new."""
    result = np.full(close.size, np.nan)
    steps = np.diff(close)
    if steps.size < 14:
        return result
    gain, loss = np.maximum(steps[:14], 0).mean(), np.maximum(-steps[:14], 0).mean()
    for row in range(14, close.size):
        if row > 14:
            gain = (13 * gain + max(steps[row - 1], 0)) / 14
            loss = (13 * loss + max(-steps[row - 1], 0)) / 14
        result[row] = 100 * gain / (gain + loss) if gain + loss > 0 else 50.0
    return result


@given(closes())
def test_the_rsi_is_wilders(close: Array):
    np.testing.assert_allclose(rsi(close), naive_rsi(close), atol=1e-8)


@pytest.mark.parametrize("price", [1e-10, 1e-6, 100.0])
def test_the_rsi_of_a_quiet_coin_does_not_depend_on_its_price(price: float):
    close = np.concatenate([price * random_walk(100), np.full(240, price * 100)])
    np.testing.assert_allclose(rsi(close), naive_rsi(close), atol=1e-8)


def test_a_market_that_never_moved_is_not_oversold():
    assert (rsi(np.full(60, 3.3))[14:] == 50.0).all()
    assert (momentum(np.full(60, 3.3))[0][33:] == 0.0).all()


def naive_ema(values: Array, length: int, first: int) -> Array:
    """Starts as the mean of the `length` values up to row `first`."""
    result = np.full(values.size, np.nan)
    if first < values.size:
        result[first] = values[first - length + 1 : first + 1].mean()
    for row in range(first + 1, values.size):
        result[row] = result[row - 1] + (values[row] - result[row - 1]) * 2 / (length + 1)
    return result


@given(closes(largest=90))
def test_the_macd_is_the_difference_of_two_averages(close: Array):
    difference = naive_ema(close, 12, 25) - naive_ema(close, 26, 25)
    signal = naive_ema(difference, 9, 33)
    macd, macd_signal, macd_hist = momentum(close)
    tolerance = {"rtol": 0, "atol": 1e-12 * close.max()}
    np.testing.assert_allclose(macd, np.where(np.isnan(signal), np.nan, difference), **tolerance)
    np.testing.assert_allclose(macd_signal, signal, **tolerance)
    np.testing.assert_allclose(macd_hist, difference - signal, **tolerance)


@given(closes(smallest=20))
def test_percent_b_says_where_between_the_bands_the_close_is(close: Array):
    upper, lower, percent_b = bollinger(close, sma(close, 20), deviation(close, 20))
    known = ~np.isnan(percent_b)
    np.testing.assert_allclose(
        (lower + percent_b * (upper - lower))[known][upper[known] > lower[known]],
        close[known][upper[known] > lower[known]],
        rtol=1e-12,
    )
    assert (percent_b[known][upper[known] == lower[known]] == 0.5).all()


def test_a_price_change_is_a_fraction_of_the_close_before():
    np.testing.assert_allclose(price_change(np.array([100.0, 101.0, 50.5])), [np.nan, 0.01, -0.5])


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 14, 15, 33, 34, 49, 50, 51])
def test_an_indicator_is_missing_until_its_window_is_full(rows: int):
    found = indicators(made_candles(random_walk(rows)))
    first = {name: int(np.argmax(found[name].notna())) if found[name].notna().any() else None for name in INDICATORS}
    warm = {"sma10": 9, "sma20": 19, "sma50": 49, "rsi14": 14, "macd": 33, "macd_signal": 33, "macd_hist": 33}
    warm |= dict.fromkeys(["bollinger_upper", "bollinger_lower", "percent_b", "volatility", "volume_mean20"], 19)
    warm["price_change"] = 1
    assert first == {name: warm[name] if rows > warm[name] else None for name in INDICATORS}


def assert_window_sees_full_history(candles: pd.DataFrame, rows: range | list[int]) -> None:
    full = market_frame(candles).to_numpy()
    for row in rows:
        window = market_frame(candles.iloc[row - WINDOW + 1 : row + 1]).to_numpy()[-1]
        np.testing.assert_array_equal(window, full[row], err_msg=f"row {row}")


@pytest.mark.parametrize("name", REAL)
def test_a_window_sees_what_full_history_sees(real_data: Path, name: str):
    candles = real_candles(real_data, name)
    assert_window_sees_full_history(candles, range(WINDOW - 1, len(candles), len(candles) // 120))


@pytest.mark.parametrize("dead", [100, STILL_AFTER - 1, STILL_AFTER, STILL_AFTER + 1, 400, 700, 990, 1500])
@pytest.mark.parametrize(("start", "step"), [(100.0, 0.01), (1e-6, 0.01), (30_000.0, 0.0001)])
def test_a_window_sees_full_history_in_a_market_that_died_and_woke_up(dead: int, start: float, step: float):
    alive = random_walk(1400, 7, start, step)
    woken = random_walk(1100, 8, alive[-1], step)
    candles = made_candles(np.concatenate([alive, np.full(dead, alive[-1]), woken]))
    wake = alive.size + dead
    rows = [*range(alive.size, wake, 97), *range(wake - 2, wake + 40), *range(wake + 40, wake + 1100, 61)]
    assert_window_sees_full_history(candles, rows)


@pytest.mark.parametrize("quiet", [200, STILL_AFTER - 1])
def test_a_window_sees_full_history_in_a_market_that_only_falls(quiet: int):
    alive = random_walk(600, 3)
    falling = np.repeat(alive[-1] * (1 - 1e-4 * np.arange(1, 12)), quiet)
    candles = made_candles(np.concatenate([alive, falling]))
    assert_window_sees_full_history(candles, range(WINDOW - 1, len(candles), 13))


def test_a_dead_market_has_no_momentum():
    close = np.concatenate([random_walk(100), np.full(400, 100.0)])
    macd, signal, hist = momentum(close)
    last_still = slice(100 + STILL_AFTER, None)
    assert (rsi(close)[last_still] == 50.0).all()
    assert (macd[last_still] == 0).all()
    assert (signal[last_still] == 0).all()
    assert (hist[last_still] == 0).all()
    assert macd[100 + STILL_AFTER - 2] != 0


def test_a_market_that_wakes_up_has_momentum_at_once():
    close = np.concatenate([random_walk(100), np.full(400, 100.0), [101.0, 100.5]])
    assert rsi(close)[-2] == 100.0
    assert momentum(close)[0][-2] > 0


@pytest.mark.parametrize("power", [-20, -3, 5, 24])
def test_scaling_the_price_leaves_scale_free_features_as_they_are(real_data: Path, power: int):
    candles = real_candles(real_data, "BTCUSDT_1h").iloc[:3000]
    # A power of two moves only the exponent of a double.
    scaled = candles * np.array([2.0**power] * 4 + [2.0 ** (3 - power)])
    plain, moved = (feature_matrix(market_frame(frame), FeatureForm.STATIONARY) for frame in (candles, scaled))
    assert_same_bits(plain, moved)
