from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.snapshot import market_frame
from learning.training import walk_forward
from learning.training.calibration import Method, fit_calibration
from learning.training.examples import examples, rows_known
from learning.training.fit import OneClassOnly, TrainingError, fit
from learning.training.held_out import hold_out
from learning.training.recipes import Algorithm, Recipe, ThresholdUnit
from learning.training.walk_forward import OutOfSample, out_of_sample_probabilities
from tests.lookahead import assert_blind_to_the_future
from tests.markets import assert_same_bits, made_candles, random_candles, random_walk, real_candles

RECIPE = Recipe(trees=8)
START = 150


def walk(candles: pd.DataFrame, recipe: Recipe = RECIPE, start: int = START, retrain_every: int = 100) -> OutOfSample:
    return out_of_sample_probabilities(recipe, market_frame(candles), start, retrain_every)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("name", ["BTCUSDT_1h", "SPY_1d"])
def test_no_answer_sees_the_future(real_data: Path, algorithm: Algorithm, name: str):
    recipe = Recipe(algorithm=algorithm, trees=3, folds=2)
    candles = real_candles(real_data, name).iloc[:600]

    def stage(candles: pd.DataFrame) -> np.ndarray:
        if len(candles) <= START:
            return np.full((len(candles), 6), np.nan)
        found = walk(candles, recipe)
        return np.hstack([found.probabilities, found.baseline])

    assert_blind_to_the_future(stage, candles, [START - 1, START, 249, 250, 251, 499, 598])


def test_a_threshold_in_volatilities_does_not_see_the_future(real_data: Path):
    recipe = Recipe(trees=8, threshold=0.5, threshold_unit=ThresholdUnit.VOLATILITY)
    candles = real_candles(real_data, "GBPUSD_1m").iloc[:400]

    def stage(candles: pd.DataFrame) -> np.ndarray:
        return walk(candles, recipe).probabilities

    assert_blind_to_the_future(stage, candles, [250, 398])


def test_a_label_that_had_not_closed_would_be_caught(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    def too_early(recipe: Recipe, known: object, at: int) -> np.ndarray:
        return rows_known(recipe, known, at=at + 1)

    # A calibration that found nothing to tell would hide what the model had seen.
    plain = Recipe(trees=8, calibration=Method.NONE)
    monkeypatch.setattr(walk_forward, "rows_known", too_early)
    candles = real_candles(real_data, "BTCUSDT_1h").iloc[:400]
    with pytest.raises(AssertionError, match="were seen"):
        assert_blind_to_the_future(lambda frame: walk(frame, plain).probabilities, candles, [250])


def test_each_block_is_answered_by_the_model_trained_before_it():
    candles = random_candles(420)
    market, found = market_frame(candles), walk(candles)
    known = examples(RECIPE, market)
    assert [training.row for training in found.trainings] == [150, 250, 350]
    raw, held = np.full((420, 3), np.nan), hold_out(RECIPE, known, at=150)
    raw[held.rows] = held.raw
    for first, end in ((150, 250), (250, 350), (350, 420)):
        rows = np.arange(49, first - RECIPE.horizon + 1)
        model = fit(RECIPE, known.matrix[rows], known.labels.values[rows])
        raw[first:end] = model.probabilities(known.matrix[first:end])
        # Known at the close of candle `first` are the labels that end there at the latest.
        seen = np.flatnonzero(~np.isnan(raw[: first - RECIPE.horizon + 1, 0]))
        calibration = fit_calibration(Method.SIGMOID, raw[seen], known.labels.values[seen])
        assert calibration.method is (Method.NONE if first == 150 else Method.SIGMOID)
        assert_same_bits(found.probabilities[first:end], calibration.apply(raw[first:end]))
        assert_same_bits(found.baseline[first:end], np.tile(model.class_shares, (end - first, 1)))
    assert np.isnan(found.probabilities[:150]).all()
    assert np.isnan(found.baseline[:150]).all()


def test_a_training_says_what_it_was_made_of():
    candles = random_candles(420)
    first, *_, last = walk(candles).trainings
    assert (first.row, first.rows_trained, sum(first.class_counts)) == (150, 97, 97)
    assert (first.first_time, first.last_time) == (candles.index[49], candles.index[145])
    assert last.last_time == candles.index[345]


def test_without_a_calibration_the_models_answer_themselves():
    plain = Recipe(trees=8, calibration=Method.NONE)
    market = market_frame(random_candles(420))
    known = examples(plain, market)
    rows = rows_known(plain, known, at=150)
    model = fit(plain, known.matrix[rows], known.labels.values[rows])
    found = out_of_sample_probabilities(plain, market, 150, 0)
    assert_same_bits(found.probabilities[150:], model.probabilities(known.matrix[150:]))


def test_without_retraining_one_model_answers_all():
    found = walk(random_candles(420), retrain_every=0)
    assert [training.row for training in found.trainings] == [150]
    assert not np.isnan(found.probabilities[150:]).any()


def test_the_window_bounds_what_is_trained_on():
    found = walk(random_candles(420), Recipe(trees=8, window=60))
    assert [training.rows_trained for training in found.trainings] == [60, 60, 60]


def test_progress_is_told_up_to_the_end():
    told: list[tuple[int, int]] = []
    market = market_frame(random_candles(420))
    out_of_sample_probabilities(RECIPE, market, 150, 100, lambda done, of: told.append((done, of)))
    assert told == [(100, 270), (200, 270), (270, 270)]


def test_too_little_history_is_refused_with_what_is_missing():
    candles = random_candles(420)
    with pytest.raises(TrainingError, match=r"^29 rows to train on up to candle 82, but at least 30 are needed"):
        walk(candles, start=82)
    assert walk(candles, start=83).trainings[0].rows_trained == 30
    with pytest.raises(TrainingError, match=r"^0 rows to train on up to candle 0"):
        walk(candles, start=0)


@pytest.mark.parametrize("start", [-1, 420])
def test_a_start_outside_the_market_is_refused(start: int):
    with pytest.raises(TrainingError, match=f"row {start} does not exist in a market of 420 candles"):
        walk(random_candles(420), start=start)


def test_a_negative_rhythm_is_refused():
    with pytest.raises(ValueError, match="retrain_every"):
        walk(random_candles(420), retrain_every=-1)


def test_there_is_no_answer_until_a_model_can_be_trained():
    still_then_moving = np.concatenate([np.full(230, 100.0), random_walk(300)])
    found = walk(made_candles(still_then_moving))
    assert [training.row for training in found.trainings] == [250, 350, 450]
    assert np.isnan(found.probabilities[:250]).all()
    assert not np.isnan(found.probabilities[250:]).any()


def test_a_market_that_falls_asleep_keeps_its_last_model():
    moving_then_still = np.concatenate([random_walk(300), np.full(300, 100.0)])
    found = walk(made_candles(moving_then_still), Recipe(trees=8, window=50))
    assert [training.row for training in found.trainings] == [150, 250, 350]
    assert not np.isnan(found.probabilities[150:]).any()


def test_a_market_that_never_moves_is_refused():
    with pytest.raises(OneClassOnly, match="labelled HOLD"):
        walk(made_candles(np.full(400, 100.0)))
