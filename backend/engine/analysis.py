"""The state of the market from its indicators: trend, strength, RSI state and SMA cross, as numbers.

Trend, RSI state and cross are -1, 0 or 1, so that a model can use them as they are; `snapshot` gives them their names.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from engine.indicators import Array, window_sum

ANALYSIS = ("trend", "strength", "rsi_state", "sma_cross")
INPUTS = ("sma10", "sma20", "rsi14")

OVERBOUGHT = 70.0
OVERSOLD = 30.0
STRENGTH_CANDLES = 20


def analysis(candles: pd.DataFrame, indicators: pd.DataFrame) -> pd.DataFrame:
    """The columns ANALYSIS on the same index; NaN while an input of theirs is warming up."""
    known = {name: indicators[name].to_numpy() for name in INPUTS}
    return pd.DataFrame(analysis_columns(candles["close"].to_numpy(), known), index=candles.index)


def analysis_columns(close: Array, indicators: Mapping[str, Array]) -> dict[str, Array]:
    """ANALYSIS of n candles, each (n,), from their closes and the INPUTS among their indicators."""
    sma10, sma20, rsi14 = (indicators[name] for name in INPUTS)
    values = (trend(close, sma10, sma20), strength(close), rsi_state(rsi14), sma_cross(sma10, sma20))
    return dict(zip(ANALYSIS, values, strict=True))


def trend(close: Array, sma10: Array, sma20: Array) -> Array:
    """1 (bull) where close > SMA 10 > SMA 20, -1 (bear) where close < SMA 10 < SMA 20, else 0 (sideways).

    Price and both averages must agree, so that a single candle in a flat market is no trend.
    """
    bull = (close > sma10) & (sma10 > sma20)
    bear = (close < sma10) & (sma10 < sma20)
    return _signs(bull, bear, known=sma20)


def strength(close: Array) -> Array:
    """Kaufman's efficiency ratio over 20 candles: net move over the path walked, 0 (noise) to 1 (a straight line).

    It has no scale, so it is comparable between a coin at 1e-6 and a share at 1e3.
    Source: Perry J. Kaufman, Smarter Trading, 1995.
    """
    steps = np.full(close.size, np.nan)
    steps[1:] = np.abs(close[1:] - close[:-1])
    path = np.full(close.size, np.nan)
    path[1:] = window_sum(steps[1:], STRENGTH_CANDLES)
    net = np.full(close.size, np.nan)
    net[STRENGTH_CANDLES:] = np.abs(close[STRENGTH_CANDLES:] - close[:-STRENGTH_CANDLES])
    ratio = np.divide(net, path, out=np.zeros(close.size), where=path > 0)
    # The path is a rounded sum and may fall short of the net move by its last bit.
    return np.where(np.isnan(path), np.nan, np.minimum(ratio, 1.0))


def rsi_state(rsi14: Array) -> Array:
    """1 (overbought) from 70 up, -1 (oversold) from 30 down, else 0 (neutral)."""
    return _signs(rsi14 >= OVERBOUGHT, rsi14 <= OVERSOLD, known=rsi14)


def sma_cross(sma10: Array, sma20: Array) -> Array:
    """1 while SMA 10 is above SMA 20, -1 while it is below, 0 where they are equal."""
    return _signs(sma10 > sma20, sma10 < sma20, known=sma20)


def _signs(positive: np.ndarray, negative: np.ndarray, known: Array) -> Array:
    return np.where(np.isnan(known), np.nan, positive.astype(np.float64) - negative)
