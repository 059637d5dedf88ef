import json
from pathlib import Path

import numpy as np
import pytest

from engine.features import FEATURES
from engine.snapshot import market_frame
from learning.scores.drift import DRIFT_WINDOW, USUAL_LIMIT, Profile, drift, profile
from learning.training.examples import examples
from learning.training.recipes import Recipe
from tests.markets import Array, assert_same_bits, real_candles


def rows(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(count, len(FEATURES)))


def test_the_index_is_that_of_the_textbook() -> None:
    known = profile(np.tile(np.arange(1000.0)[:, None], (1, len(FEATURES))))
    seen = np.tile(np.repeat([50.0, 950.0], [750, 250])[:, None], (1, len(FEATURES)))
    cells = np.full(10, 0.5)
    cells[0], cells[-1] = 750.5, 250.5
    share, expected = cells / 1005.0, np.full(10, 100.5 / 1005.0)
    textbook = float(np.sum((share - expected) * np.log(share / expected)))
    np.testing.assert_allclose(known.indices(seen), textbook, rtol=1e-9)


def test_rows_like_those_of_the_training_are_no_drift() -> None:
    known = profile(rows(2000))
    assert known.limit == USUAL_LIMIT
    found = drift(known, rows(DRIFT_WINDOW, seed=1))
    assert found is not None
    assert not found.is_found
    assert found.index < 0.1


def test_features_that_moved_are_found_and_named() -> None:
    known, newest = profile(rows(2000)), rows(DRIFT_WINDOW, seed=1)
    newest[:, [1, 6, 8]] += 3.0
    found = drift(known, newest)
    assert found is not None
    assert found.is_found
    assert {name for name, _ in found.worst} == {"volume", "macd", "volatility"}


def test_only_the_newest_rows_count_and_too_few_say_nothing() -> None:
    known = profile(rows(2000))
    assert drift(known, rows(DRIFT_WINDOW - 1)) is None
    old = rows(DRIFT_WINDOW) + 5.0
    found = drift(known, np.concatenate([old, rows(DRIFT_WINDOW, seed=2)]))
    assert found is not None
    assert not found.is_found


def test_a_feature_of_three_values_has_a_cell_for_each() -> None:
    matrix = rows(900)
    matrix[:, 9] = np.repeat([-1.0, 0.0, 1.0], 300)
    known = profile(matrix)
    # And one for values above all that were seen.
    assert known.shares[9].size == 4
    assert known.shares[9].sum() == pytest.approx(1.0)
    assert known.spread[9] == 2.0


def test_a_feature_that_stands_still_has_no_spread_and_does_not_divide_by_zero() -> None:
    matrix = rows(600)
    matrix[:, 0] = 7.0
    known = profile(matrix)
    assert known.spread[0] == 0.0
    assert np.isfinite(known.indices(matrix[:DRIFT_WINDOW])).all()


def test_a_profile_comes_back_from_json_to_the_last_bit() -> None:
    known = profile(rows(700))
    back = Profile.from_json(json.loads(json.dumps(known.to_json())))
    assert_same_bits(back.indices(rows(300, seed=3)), known.indices(rows(300, seed=3)))
    assert back.limit == known.limit
    assert_same_bits(back.spread, known.spread)


def test_real_markets_seldom_raise_the_alarm_in_the_window_after_the_training(real_data: Path) -> None:
    alarms = []
    for name in ("BTCUSDT_1h", "ETHUSDT_1h", "EURUSD_1h"):
        matrix = examples(Recipe(), market_frame(real_candles(real_data, name).iloc[-7000:])).matrix
        matrix = matrix[np.isfinite(matrix).all(axis=1)]
        for start in range(0, len(matrix) - 2000 - DRIFT_WINDOW, 1500):
            train, later = matrix[start : start + 2000], matrix[start + 2000 : start + 2000 + DRIFT_WINDOW]
            found = drift(profile(train), later)
            assert found is not None
            alarms.append(found.is_found)
    assert np.mean(alarms) <= 0.15
