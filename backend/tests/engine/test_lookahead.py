"""No stage of the engine sees a candle that had not closed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.analysis import analysis
from engine.features import FeatureForm, feature_matrix
from engine.indicators import indicators
from engine.labels import UNKNOWN, forward_labels
from engine.snapshot import market_frame, snapshot_at
from engine.validation import trainable_rows, walk_forward
from tests.lookahead import assert_blind_to_the_future, cut_off, scrambled
from tests.markets import real_candles

NAMES = ["BTCUSDT_1h", "PEPEUSDT_1h", "TRXBTC_5m", "GBPUSD_1m", "SPY_1d"]
ROWS = [0, 1, 49, 50, 333, 1234, 1998]
HORIZON = 7
LOOKED_AT = 97


def price_analysis(candles: pd.DataFrame) -> pd.DataFrame:
    return analysis(candles, indicators(candles))


def snapshots(candles: pd.DataFrame) -> np.ndarray:
    market = market_frame(candles)
    found = [snapshot_at(market, row, "X", "1h") for row in range(len(market))]
    return np.array([np.full(market.shape[1], np.nan) if one is None else list(one.values.values()) for one in found])


def stationary(candles: pd.DataFrame) -> np.ndarray:
    return feature_matrix(market_frame(candles), FeatureForm.STATIONARY)


def classic(candles: pd.DataFrame) -> np.ndarray:
    return feature_matrix(market_frame(candles), FeatureForm.CLASSIC)


def labels_at_their_ends(candles: pd.DataFrame) -> np.ndarray:
    """Row t holds the label that is known at the close of candle t for the first time."""
    labels = forward_labels(candles["close"].to_numpy(), HORIZON, 0.005)
    result = np.full(len(candles), np.nan)
    known = labels.values != UNKNOWN
    result[labels.ends[known]] = labels.values[known]
    return result


def training_sets(candles: pd.DataFrame) -> np.ndarray:
    """Row t, for every LOOKED_AT-th, describes what a model that is first used at candle t is trained on."""
    matrix = stationary(candles)
    labels = forward_labels(candles["close"].to_numpy(), HORIZON, 0.005)
    result = np.full((len(candles), 3), np.nan)
    for at in range(0, len(candles), LOOKED_AT):
        rows = trainable_rows(labels, ~np.isnan(matrix[:, 0]), at)
        result[at] = rows.size, matrix[rows].sum(), (labels.values[rows] * (rows + 1.0)).sum()
    return result


def fold_training_sets(candles: pd.DataFrame) -> np.ndarray:
    """The row before a fold's first test row describes what the fold is trained on."""
    matrix = stationary(candles)
    labels = forward_labels(candles["close"].to_numpy(), HORIZON, 0.005)
    result = np.full((len(candles), 3), np.nan)
    for fold in walk_forward(labels, ~np.isnan(matrix[:, 0]), folds=5):
        rows = fold.train
        described = rows.size, matrix[rows].sum(), (labels.values[rows] * (rows + 1.0)).sum()
        result[fold.test[0] - 1] = described
    return result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stage", [indicators, price_analysis, market_frame, stationary, classic])
def test_a_stage_is_blind_to_the_future(real_data: Path, name: str, stage: Callable):
    candles = real_candles(real_data, name).iloc[:2000]
    assert_blind_to_the_future(stage, candles, ROWS)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_model_trains_on_is_blind_to_the_future(real_data: Path, name: str):
    candles = real_candles(real_data, name).iloc[:2000]
    assert_blind_to_the_future(training_sets, candles, [LOOKED_AT, 6 * LOOKED_AT, 20 * LOOKED_AT])


def test_a_snapshot_is_blind_to_the_future(real_data: Path):
    assert_blind_to_the_future(snapshots, real_candles(real_data, "BTCUSDT_1h").iloc[:400], [60, 200, 398])


@pytest.mark.parametrize("name", NAMES)
def test_a_label_is_blind_to_the_candles_after_its_end(real_data: Path, name: str):
    assert_blind_to_the_future(labels_at_their_ends, real_candles(real_data, name).iloc[:2000], ROWS[2:])


def test_a_fold_trains_on_nothing_that_its_test_could_have_changed(real_data: Path):
    # Where the folds lie depends on how much history there is, so it is changed and not cut off.
    candles = real_candles(real_data, "BTCUSDT_1h").iloc[:2000]
    matrix, labels = stationary(candles), forward_labels(candles["close"].to_numpy(), HORIZON, 0.005)
    firsts = [int(fold.test[0]) for fold in walk_forward(labels, ~np.isnan(matrix[:, 0]), folds=5)]
    assert len(firsts) == 5
    assert_blind_to_the_future(fold_training_sets, candles, [first - 1 for first in firsts], futures=[scrambled])


def next_close(candles: pd.DataFrame) -> pd.DataFrame:
    return candles[["close"]].shift(-1)


def centred_average(candles: pd.DataFrame) -> pd.DataFrame:
    return candles[["close"]].rolling(5, center=True).mean()


def score_by_the_whole_history(candles: pd.DataFrame) -> pd.DataFrame:
    close = candles[["close"]]
    return (close - close.mean()) / close.std()


def filled_backwards(candles: pd.DataFrame) -> pd.DataFrame:
    return candles[["close"]].rolling(20).mean().bfill()


@pytest.mark.parametrize("leak", [next_close, centred_average, score_by_the_whole_history, filled_backwards])
@pytest.mark.parametrize("future", [cut_off, scrambled])
def test_a_planted_leak_is_caught(real_data: Path, leak: Callable, future: Callable):
    candles = real_candles(real_data, "BTCUSDT_1h").iloc[:500]
    with pytest.raises(AssertionError, match="were seen"):
        assert_blind_to_the_future(leak, candles, [10, 250], futures=[future])


def test_labels_placed_where_they_start_are_caught(real_data: Path):
    def at_the_start(candles: pd.DataFrame) -> np.ndarray:
        return forward_labels(candles["close"].to_numpy(), HORIZON, 0.005).values

    candles = real_candles(real_data, "BTCUSDT_1h").iloc[:500]
    with pytest.raises(AssertionError, match="were seen"):
        assert_blind_to_the_future(at_the_start, candles, [250])
