import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from engine.orders import Action
from learning.training.calibration import Calibration, CalibrationCurve, CalibrationError, Method, fit_calibration
from tests.markets import Array, assert_same_bits

FITTED = [Method.SIGMOID, Method.ISOTONIC]


def boastful(rows: int, seed: int = 0, power: float = 3.0) -> tuple[Array, np.ndarray, Array]:
    """Raw probabilities that are surer than they should be, what happened, and the true probabilities."""
    random = np.random.default_rng(seed)
    truth = random.dirichlet([4.0, 6.0, 3.0], rows)
    values = (random.random(rows)[:, None] > truth.cumsum(axis=1)).sum(axis=1).astype(np.int8)
    raised = truth**power
    return raised / raised.sum(axis=1, keepdims=True), values, truth


def log_loss(probabilities: Array, values: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(values.size), values]).mean())


@pytest.mark.parametrize("method", FITTED)
def test_a_calibrated_probability_happens_as_often_as_it_says(method: Method):
    calibration = fit_calibration(method, *boastful(4000)[:2])
    raw, values, truth = boastful(20_000, seed=1)
    calibrated = calibration.apply(raw)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1.0)
    assert np.abs(calibrated - truth).mean() < 0.03 < 0.1 < np.abs(raw - truth).mean()
    assert log_loss(calibrated, values) < log_loss(raw, values) - 0.1
    for action in Action:
        errors = [overstated(answers[:, action], values == action) for answers in (calibrated, raw)]
        assert abs(errors[0]) < 0.06 < 0.1 < abs(errors[1])


def overstated(answers: Array, happened: np.ndarray) -> float:
    """By how much answers above one half are too high on average."""
    likely = answers > 0.5
    return float(answers[likely].mean() - happened[likely].mean())


def test_the_sigmoid_is_the_logistic_regression_of_scikit_learn():
    """Up to Platt's targets, which vanish with the number of rows, and the straight lines between the knots."""
    raw, values, _ = boastful(20_000)
    calibration = fit_calibration(Method.SIGMOID, raw, values)
    points = np.linspace(0.02, 0.98, 50)
    for action, curve in zip(Action, calibration.curves, strict=True):
        # Logits are looked at from -7 to 7.
        within = np.clip(raw[:, action], 1 / (1 + np.exp(7)), 1 / (1 + np.exp(-7)))
        peer = LogisticRegression(C=np.inf).fit(np.log(within / (1 - within))[:, None], values == action)
        expected = peer.predict_proba(np.log(points / (1 - points))[:, None])[:, 1]
        np.testing.assert_allclose(curve(points), expected, atol=3e-3)


@pytest.mark.parametrize("method", FITTED)
def test_one_row_has_the_bits_of_the_batch(method: Method):
    calibration = fit_calibration(method, *boastful(500)[:2])
    raw = np.random.default_rng(2).dirichlet([1.0, 1.0, 1.0], 1003)
    raw[7], raw[8] = [0.0, 0.0, 1.0], [0.0, 0.5, 0.5]
    batch = calibration.apply(raw)
    for size in (1, 2, 3, 17, 64):
        for first in range(0, 1003 - size, 29):
            assert_same_bits(calibration.apply(raw[first : first + size]), batch[first : first + size])


@pytest.mark.parametrize("method", FITTED)
def test_a_stored_calibration_is_the_same_to_the_last_bit(method: Method):
    calibration = fit_calibration(method, *boastful(500)[:2])
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again == calibration
    raw = boastful(300, seed=3)[0]
    assert_same_bits(again.apply(raw), calibration.apply(raw))
    assert Calibration.from_json(json.loads(json.dumps(Calibration().to_json()))) == Calibration()


@pytest.mark.parametrize("method", FITTED)
def test_the_likelier_stays_the_likelier_within_a_class(method: Method):
    calibration = fit_calibration(method, *boastful(500)[:2])
    rising = np.linspace(0, 1, 500)
    for curve in calibration.curves:
        assert (np.diff(curve(rising)) >= 0).all()


@pytest.mark.parametrize("method", FITTED)
def test_what_tells_nothing_becomes_the_frequency(method: Method):
    _, values, _ = boastful(20_000)
    noise = np.random.default_rng(9).dirichlet([1.0, 1.0, 1.0], 20_000)
    answers = fit_calibration(method, noise, values).apply(np.random.default_rng(10).dirichlet([1.0, 1.0, 1.0], 500))
    shares = np.bincount(values) / values.size
    assert np.abs(answers - shares).mean() < 0.02


def test_a_model_that_is_wrong_way_round_is_not_turned_round():
    raw, values, _ = boastful(4000)
    mirrored = np.ascontiguousarray(raw[:, ::-1])
    curve = fit_calibration(Method.SIGMOID, mirrored, values).curves[Action.SELL]
    np.testing.assert_allclose(curve(mirrored[:, Action.SELL]), np.mean(values == Action.SELL), atol=0.001)


@pytest.mark.parametrize("method", FITTED)
def test_nothing_is_ever_certain(method: Method):
    """A hundred rows without a single mistake."""
    values = (np.arange(120) % 3).astype(np.int8)
    answers = fit_calibration(method, np.eye(3)[values], values).apply(np.eye(3))
    assert np.diag(answers).min() > 0.9
    assert answers.max() < 1
    assert answers.min() > 0


@pytest.mark.parametrize("method", FITTED)
def test_a_constant_answer_is_calibrated_to_the_frequencies(method: Method):
    _, values, _ = boastful(3000)
    answers = fit_calibration(method, np.full((3000, 3), 1 / 3), values).apply(np.full((1, 3), 1 / 3))
    np.testing.assert_allclose(answers[0], np.bincount(values) / 3000, atol=0.01)


@pytest.mark.parametrize("method", FITTED)
def test_too_few_rows_or_too_few_of_a_class_leave_the_raw_probabilities(method: Method):
    raw, values, _ = boastful(99)
    assert fit_calibration(method, raw, values) == Calibration(rows=99)
    raw, values, _ = boastful(300)
    rare = values != Action.BUY
    assert fit_calibration(method, raw[rare], values[rare]).method is Method.NONE
    assert_same_bits(Calibration().apply(raw), raw)
    assert fit_calibration(method, raw[:0], values[:0]).rows == 0


@pytest.mark.parametrize("method", FITTED)
def test_a_row_without_an_answer_stays_without(method: Method):
    calibration = fit_calibration(method, *boastful(300)[:2])
    raw = boastful(5)[0]
    raw[2] = np.nan
    answers = calibration.apply(raw)
    assert np.isnan(answers).all(axis=1).tolist() == [False, False, True, False, False]
    assert calibration.apply(raw[:0]).shape == (0, 3)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20, unique=True).map(sorted),
    st.lists(st.floats(0.001, 0.999), min_size=20, max_size=20).map(sorted),
    st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=50),
)
def test_a_curve_goes_straight_from_knot_to_knot(knots: list[float], heights: list[float], points: list[float]):
    # Knots closer than this have slopes that no float carries.
    knots = [knot for index, knot in enumerate(knots) if index == 0 or knot - knots[index - 1] > 1e-6] or [0.5]
    heights = heights[: len(knots)]
    curve = CalibrationCurve(tuple(knots), tuple(heights))
    np.testing.assert_allclose(curve(np.array(points)), np.interp(points, knots, heights), atol=1e-9)


def test_knots_too_close_to_tell_apart_are_still_in_order():
    raw, values, _ = boastful(400)
    raw = 0.3 + 1e-13 * raw
    calibration = fit_calibration(Method.ISOTONIC, raw, values)
    assert np.isfinite(calibration.apply(raw)).all()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({}, "method|curves"),
        ({"method": "astrology", "rows": 1, "curves": []}, "astrology"),
        ({"method": "sigmoid", "rows": 1, "curves": []}, "0 curves are not a sigmoid calibration"),
        ({"method": "none", "rows": "many", "curves": []}, "many"),
        ({"method": "isotonic", "rows": 1, "curves": [{"raw": [0, 0], "calibrated": [0.1, 0.2]}] * 3}, "increase"),
        ({"method": "isotonic", "rows": 1, "curves": [{"raw": [0, 1], "calibrated": [0.3, 0.2]}] * 3}, "decrease"),
        ({"method": "isotonic", "rows": 1, "curves": [{"raw": [0, 1], "calibrated": [0.3, 1.2]}] * 3}, "between 0"),
        ({"method": "isotonic", "rows": 1, "curves": [{"raw": [0], "calibrated": []}] * 3}, "not a curve"),
        ({"method": "isotonic", "rows": 1, "curves": [{"raw": ["x"], "calibrated": [0.5]}] * 3}, "not a calibration"),
        ({"method": "isotonic", "rows": 1, "curves": [{"raw": [float("nan")], "calibrated": [0.5]}] * 3}, "increase"),
    ],
)
def test_a_calibration_that_cannot_be_applied_is_refused(stored: dict[str, Any], message: str):
    with pytest.raises(CalibrationError, match=message):
        Calibration.from_json(stored)


def test_applying_does_not_wait_for_scikit_learn():
    script = "import sys, learning.training.calibration; print('sklearn' in sys.modules)"
    command = [sys.executable, "-c", script]
    folder = Path(__file__).resolve().parents[2]
    assert subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout == "False\n"
