"""Models at work: warm, quick to notice a promotion, and never silent about a version that cannot serve."""

import json

import numpy as np
import pytest

from engine.candles import COLUMNS
from engine.features import FEATURES, FeatureForm, feature_matrix, feature_vector
from engine.indicators import WINDOW
from engine.snapshot import Snapshot, market_frame, newest_snapshot
from learning.registry import serving
from learning.registry.services import promote, roll_back
from learning.registry.serving import Predictor
from tests.learning.made import CANDLES, HISTORY, NAME, candles, registered, snapshot
from tests.learning.test_registry import damaged
from tests.markets import assert_same_bits, real_candles

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch):
    """Seconds of the predictor's clock, to be moved by hand."""
    now = [1000.0]
    monkeypatch.setattr(serving, "monotonic", lambda: now[0])
    return now


def test_an_answer_says_what_was_asked_and_who_answered():
    version = registered()
    answer = Predictor().predict(snapshot(HISTORY), NAME)
    assert answer is not None
    assert (answer.model_type, answer.version) == ("random_forest", version.content_hash)
    assert tuple(answer.features) == FEATURES
    assert answer.probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    assert_same_bits(answer.model.calibrated(answer.raw[None])[0], answer.probabilities)


def test_one_snapshot_and_the_whole_history_are_answered_in_the_same_bits():
    model = Predictor().warm(registered())
    matrix = feature_matrix(market_frame(candles()), model.form)[HISTORY:]
    raw = model.raw(matrix)
    together = model.calibrated(raw)
    for row in range(HISTORY, CANDLES):
        answer = Predictor().predict(snapshot(row), NAME)
        assert_same_bits(answer.raw, raw[row - HISTORY])
        assert_same_bits(answer.probabilities, together[row - HISTORY])


def test_a_warm_model_asks_the_database_nothing(clock, django_assert_num_queries):
    registered()
    predictor = Predictor()
    predictor.predict(snapshot(HISTORY), NAME)
    with django_assert_num_queries(0):
        for row in range(HISTORY, CANDLES):
            assert predictor.predict(snapshot(row), NAME)
    clock[0] += 1.0
    with django_assert_num_queries(1):
        predictor.predict(snapshot(CANDLES - 1), NAME)


def test_a_promotion_is_noticed_within_a_second_and_the_old_model_forgotten(clock):
    first, second = registered(), registered(seed=1)
    predictor = Predictor()
    assert predictor.predict(snapshot(HISTORY), NAME).version == first.content_hash
    promote(second, "better")
    clock[0] += 0.99
    assert predictor.predict(snapshot(HISTORY), NAME).version == second.content_hash
    assert (predictor.is_warm(first), predictor.is_warm(second)) == (False, True)
    roll_back(second, "worse")
    clock[0] += 0.99
    assert predictor.predict(snapshot(HISTORY), NAME).version == first.content_hash


def test_only_so_many_models_are_kept(monkeypatch):
    monkeypatch.setattr(serving, "MOST_WARM", 2)
    predictor = Predictor()
    versions = [registered(seed) for seed in (42, 1, 2)]
    for version in versions:
        predictor.warm(version)
    assert [predictor.is_warm(version) for version in versions] == [False, True, True]


def test_a_challenger_never_answers(clock):
    first, challenger = registered(), registered(seed=1)
    predictor = Predictor()
    predictor.warm(challenger)
    assert predictor.predict(snapshot(HISTORY), NAME).version == first.content_hash


def test_where_the_champion_is_damaged_the_one_before_serves_and_it_is_said_once(clock, caplog):
    first, second = registered(), registered(seed=1)
    promote(second, "better")
    damaged(second)
    predictor = Predictor()
    for _ in range(3):
        clock[0] += 1.0
        assert predictor.predict(snapshot(HISTORY), NAME).version == first.content_hash
    assert caplog.text.count("cannot serve") == 1


def test_a_warm_champion_goes_on_when_the_stored_one_is_damaged(clock):
    version = registered()
    predictor = Predictor()
    before = predictor.predict(snapshot(HISTORY), NAME)
    damaged(version)
    clock[0] += 1.0
    assert_same_bits(predictor.predict(snapshot(HISTORY), NAME).probabilities, before.probabilities)


def test_where_nobody_can_serve_there_is_no_answer():
    assert Predictor().predict(snapshot(HISTORY), NAME) is None
    damaged(registered())
    assert Predictor().predict(snapshot(HISTORY), NAME) is None


def test_a_model_is_never_asked_about_candles_it_was_trained_on(clock):
    registered()
    predictor = Predictor()
    assert predictor.predict(snapshot(HISTORY), NAME)
    assert predictor.predict(snapshot(HISTORY - 1), NAME) is None
    assert predictor.predict(snapshot(HISTORY), NAME)


@pytest.mark.parametrize("series", ["BTCUSDT_1d", "GOOG_1d", "AAPL_1d"])
def test_a_row_of_training_is_the_row_of_serving_on_every_candle_of_a_real_series(real_data, series):
    """As the Market Monitor serves it: a window of candles, told as JSON, read back; trained on the whole history."""
    history = real_candles(real_data, series)
    name, interval = series.split("_")
    columns = {column: history[column].to_numpy() for column in COLUMNS}
    times = history.index.to_pydatetime()
    trained = {form: feature_matrix(market_frame(history), form) for form in FeatureForm}
    served = 0
    for row in range(len(history)):
        window = {column: values[max(0, row + 1 - WINDOW) : row + 1] for column, values in columns.items()}
        told = newest_snapshot(window, times[row], name, interval)
        for form, matrix in trained.items():
            if told is None:
                assert np.isnan(matrix[row]).all()
                continue
            snapshot = Snapshot.from_json(json.loads(json.dumps(told.to_json())))
            assert feature_vector(snapshot, form).tobytes() == matrix[row].tobytes(), (form, times[row])
            served += 1
    assert served >= 2 * (len(history) - 60)
