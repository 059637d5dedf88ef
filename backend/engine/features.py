"""The 14 inputs of a model: one definition for training and for serving, for one row and for a million.

Only additions, subtractions, multiplications and divisions are used: they give the same bits for an array of any
length, which numpy does not guarantee for logarithms and exponentials.
"""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import pandas as pd

from engine.indicators import Array
from engine.snapshot import MARKET_COLUMNS, Snapshot

FEATURES = (
    "close",
    "volume",
    "price_change",
    "sma10",
    "sma20",
    "rsi14",
    "macd",
    "macd_hist",
    "volatility",
    "trend",
    "strength",
    "rsi_state",
    "sma_cross",
    "percent_b",
)

FEATURE_VERSION = 1
"""Raised with every change of a definition here, in `indicators` or in `analysis`: older models are then refused."""


class FeatureForm(StrEnum):
    CLASSIC = "classic"
    """The 14 values as the specification lists them, in units of price and volume."""

    STATIONARY = "stationary"
    """The same 14 slots without a scale: relative to price, to volatility, or to their own 20-candle mean."""


def feature_matrix(market: pd.DataFrame, form: FeatureForm) -> Array:
    """The features of a market frame of n rows, (n, 14) float64 in the order of FEATURES; NaN rows while warming up."""
    return _features({name: market[name].to_numpy() for name in MARKET_COLUMNS}, form)


def feature_vector(snapshot: Snapshot, form: FeatureForm) -> Array:
    """The features of one snapshot, (14,) float64: bit for bit the row that `feature_matrix` gives for its candle."""
    row: Array = _features({name: np.array([value]) for name, value in snapshot.values.items()}, form)[0]
    return row


def _features(columns: Mapping[str, Array], form: FeatureForm) -> Array:
    if form is FeatureForm.STATIONARY:
        columns = {**columns, **_scale_free(columns)}
    matrix = np.column_stack([columns[name] for name in FEATURES])
    # Rows are complete or NaN: some features warm up before sma50, which the snapshot needs.
    matrix[np.isnan(columns["sma50"])] = np.nan
    return matrix


def _scale_free(columns: Mapping[str, Array]) -> dict[str, Array]:
    close, volatility = columns["close"], columns["volatility"]
    change = columns["price_change"]
    return {
        "close": close / columns["sma50"] - 1.0,
        "volume": _ratio(columns["volume"], columns["volume_mean20"], otherwise=1.0) - 1.0,
        # Change times close is about (close - previous close).
        "price_change": _ratio(change * close, volatility, otherwise=0.0),
        "sma10": close / columns["sma10"] - 1.0,
        "sma20": close / columns["sma20"] - 1.0,
        "rsi14": columns["rsi14"] / 100.0,
        "macd": _ratio(columns["macd"], volatility, otherwise=0.0),
        "macd_hist": _ratio(columns["macd_hist"], volatility, otherwise=0.0),
        "volatility": volatility / close,
    }


def _ratio(numerator: Array, denominator: Array, otherwise: float) -> Array:
    """The quotient, and `otherwise` where the denominator is zero (a market without volume, or without movement)."""
    result = np.full(numerator.size, otherwise)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result
