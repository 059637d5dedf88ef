from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from engine.features import FEATURES, FeatureForm
from learning.scores.leakage import Columns, Leak, LeakageError, _area, _compared, _too_good, feature_columns, verdicts
from tests.markets import made_candles, random_candles, real_candles

# TRXBTC bounces between two ticks: there the last change alone tells rises from falls.
NAMES = ["BTCUSDT_1h", "PEPEUSDT_1h", "TRXBTC_5m", "GBPUSD_1m", "SPY_1d"]
STATIONARY = feature_columns(FeatureForm.STATIONARY)


def check_leakage(columns: Columns, candles: pd.DataFrame) -> tuple[Leak, ...]:
    return tuple(verdict.leak for verdict in verdicts(columns, candles) if verdict.leak)


def with_column(name: str, planted: Columns) -> Columns:
    """The 14 features and one more."""

    def columns(candles: pd.DataFrame) -> pd.DataFrame:
        return STATIONARY(candles).assign(**{name: planted(candles)})

    return columns


@pytest.mark.parametrize("form", list(FeatureForm))
@pytest.mark.parametrize("name", NAMES)
def test_each_of_the_14_features_passes(real_data: Path, name: str, form: FeatureForm):
    candles = real_candles(real_data, name).iloc[-1000:]
    assert check_leakage(feature_columns(form), candles) == ()


@pytest.mark.parametrize(
    "planted",
    [
        lambda candles: candles["close"].shift(-1),
        lambda candles: candles["volume"].shift(-3),
        lambda candles: candles["close"].rolling(5, center=True).mean(),
        lambda candles: candles["close"] / candles["close"].mean(),
        lambda candles: candles["close"].rolling(20).mean().bfill(),
        lambda candles: candles["close"].rank(),
    ],
)
def test_a_column_computed_from_the_future_is_named(planted: Columns):
    (leak,) = check_leakage(with_column("oracle", planted), random_candles(600))
    assert leak.column == "oracle"
    assert "changes when all after" in leak.why


@pytest.mark.parametrize(
    "looked_up",
    [
        lambda close: close.shift(-1),
        lambda close: close.shift(-5),
        lambda close: close.shift(-1) / close,
        lambda close: -close.diff(-5),
        lambda close: close.shift(-1) + np.random.default_rng(0).normal(0, 0.3 * close.diff().std(), len(close)),
        lambda close: (close.shift(-5) < close).astype(float),
    ],
)
@pytest.mark.parametrize("name", ["BTCUSDT_1h", "SPY_1d"])
def test_a_column_from_elsewhere_that_knows_the_future_is_named(real_data: Path, name: str, looked_up: Columns):
    """It is read from a table and not computed, so that it does not change with the candles."""
    candles = real_candles(real_data, name).iloc[-1000:]
    table = looked_up(candles["close"])
    (leak,) = check_leakage(with_column("tip", lambda frame: table.reindex(frame.index)), candles)
    assert leak.column == "tip"
    assert "too well" in leak.why


def test_a_column_from_elsewhere_that_knows_nothing_passes():
    candles = random_candles(1500)
    table = pd.Series(np.random.default_rng(1).normal(size=1500).cumsum(), candles.index)
    assert check_leakage(with_column("moon", lambda frame: table.reindex(frame.index)), candles) == ()


def test_all_leaks_are_named():
    def columns(candles: pd.DataFrame) -> pd.DataFrame:
        close = candles["close"]
        return pd.DataFrame({"now": close, "next": close.shift(-1), "mean": close - close.mean()})

    assert {leak.column for leak in check_leakage(columns, random_candles(400))} == {"next", "mean"}


@pytest.mark.parametrize("rows", [200, 250, 350])
def test_chance_in_a_short_history_is_no_proof(rows: int):
    for seed in range(1000, 1060):
        candles = random_candles(rows, seed)
        columns, close = STATIONARY(candles), candles["close"].to_numpy()
        compared = {name: _compared(columns[name].to_numpy(), close, (1, 5)) for name in columns}
        assert [name for name, views in compared.items() if _too_good(name, views)] == []


def test_what_cannot_be_judged_is_refused():
    candles = random_candles(100)
    with pytest.raises(LeakageError, match="99 rows for 100 candles"):
        check_leakage(lambda frame: frame.iloc[1:], candles)
    with pytest.raises(LeakageError, match="without a number: empty"):
        check_leakage(lambda frame: pd.DataFrame({"empty": frame["close"] * np.nan}), candles)


def test_a_market_that_stands_still_accuses_nobody():
    assert check_leakage(STATIONARY, made_candles(np.full(400, 100.0))) == ()


def test_the_area_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    scores, happened = np.round(random.normal(size=300), 1), random.random(300) < 0.3
    assert _area(scores, happened) == pytest.approx(roc_auc_score(happened, scores))


def test_the_14_features_are_the_columns():
    assert list(STATIONARY(random_candles(100)).columns) == list(FEATURES)
