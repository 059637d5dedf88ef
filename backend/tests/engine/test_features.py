from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.features import FEATURES, FeatureForm, feature_matrix, feature_vector
from engine.snapshot import market_frame, snapshot_at
from tests.markets import assert_same_bits, made_candles, random_candles, random_walk, real_candles

FORMS = list(FeatureForm)
WARM_UP = 49


def features(candles: pd.DataFrame, form: FeatureForm) -> pd.DataFrame:
    return pd.DataFrame(feature_matrix(market_frame(candles), form), columns=list(FEATURES), index=candles.index)


def test_there_are_fourteen_features():
    assert len(set(FEATURES)) == len(FEATURES) == 14


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["PEPEUSDT_1h", "TRXBTC_5m"])
def test_the_vector_of_a_snapshot_is_the_row_of_the_matrix(real_data: Path, name: str, form: FeatureForm):
    market = market_frame(real_candles(real_data, name))
    matrix = feature_matrix(market, form)
    snapshots = [snapshot_at(market, row, name, "1h") for row in range(len(market))]
    assert [one is None for one in snapshots] == np.isnan(matrix[:, 0]).tolist()
    vectors = [feature_vector(one, form) for one in snapshots if one is not None]
    assert_same_bits(np.array(vectors), matrix[WARM_UP:])


@pytest.mark.parametrize("form", FORMS)
def test_a_row_is_complete_or_not_there(form: FeatureForm):
    found = features(random_candles(120), form)
    assert found.iloc[:WARM_UP].isna().all(axis=None)
    assert np.isfinite(found.iloc[WARM_UP:]).all(axis=None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "candles",
    [
        made_candles(random_walk(400), volume=0.0),
        made_candles(np.full(400, 3.3)),
        made_candles(np.full(400, 1e-8), volume=0.0),
        made_candles(np.concatenate([random_walk(100), np.full(300, 7.7)]), volume=0.0),
    ],
    ids=["no volume", "no movement", "neither", "died"],
)
def test_a_strange_market_has_finite_features(candles: pd.DataFrame, form: FeatureForm):
    assert np.isfinite(features(candles, form).iloc[WARM_UP:]).all(axis=None)


def test_the_classic_form_holds_the_values_of_the_market():
    candles = random_candles(80)
    expected = market_frame(candles)[list(FEATURES)].iloc[WARM_UP:]
    pd.testing.assert_frame_equal(features(candles, FeatureForm.CLASSIC).iloc[WARM_UP:], expected, check_exact=True)


def test_the_stationary_form_is_what_its_definition_says():
    candles = random_candles(80)
    now, found = market_frame(candles).iloc[-1], features(candles, FeatureForm.STATIONARY).iloc[-1]
    close, before = candles["close"].iloc[-1], candles["close"].iloc[-2]
    expected = {
        "close": close / now["sma50"] - 1,
        "volume": now["volume"] / candles["volume"].tail(20).mean() - 1,
        "price_change": (close - before) / before * close / candles["close"].tail(20).std(),
        "sma10": close / now["sma10"] - 1,
        "sma20": close / now["sma20"] - 1,
        "rsi14": now["rsi14"] / 100,
        "macd": now["macd"] / candles["close"].tail(20).std(),
        "macd_hist": (now["macd"] - now["macd_signal"]) / candles["close"].tail(20).std(),
        "volatility": candles["close"].tail(20).std() / close,
        **{name: now[name] for name in ("trend", "strength", "rsi_state", "sma_cross", "percent_b")},
    }
    assert tuple(found.index) == FEATURES
    assert found.to_dict() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.floats(1e-9, 1e6), st.integers(50, 80))
def test_a_market_that_stands_still_looks_calm(price: float, still: int):
    close = np.concatenate([random_walk(80, start=price), np.full(still, price)])
    found = features(made_candles(close, volume=0.0), FeatureForm.STATIONARY).iloc[-1]
    assert found.drop("rsi14").drop("rsi_state").to_dict() == dict.fromkeys(
        ["close", "volume", "price_change", "sma10", "sma20", "macd", "macd_hist", "volatility", "trend", "strength"],
        0.0,
    ) | {"sma_cross": 0.0, "percent_b": 0.5}


def test_a_dead_market_looks_neutral():
    found = features(made_candles(np.full(60, 3.3), volume=0.0), FeatureForm.STATIONARY).iloc[-1]
    assert found.to_dict() == dict.fromkeys(FEATURES, 0.0) | {"rsi14": 0.5, "percent_b": 0.5}
