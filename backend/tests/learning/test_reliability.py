import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from learning.scores.measures import BINS, Bin, reliability


def test_the_curve_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    said = random.dirichlet([1.0, 2.0, 3.0], 1000)
    truth = random.integers(0, 3, 1000).astype(np.int8)
    for action, curve in enumerate(reliability(said, truth)):
        happened, expected = calibration_curve(truth == action, said[:, action], n_bins=BINS, strategy="quantile")
        np.testing.assert_allclose([one.said for one in curve.bins], expected, atol=0.01)
        np.testing.assert_allclose([one.happened for one in curve.bins], happened, atol=0.03)
        assert sum(one.rows for one in curve.bins) == 1000


def test_what_happens_as_often_as_said_has_little_error():
    random = np.random.default_rng(1)
    said = random.dirichlet([3.0, 2.0, 4.0], 20_000)
    truth = (random.random(20_000)[:, None] > said.cumsum(axis=1)).sum(axis=1).astype(np.int8)
    assert max(curve.error for curve in reliability(said, truth)) < 0.02
    assert reliability(said[:, ::-1], truth)[0].error > 0.05


def test_a_boast_is_measured():
    said = np.tile([0.9, 0.05, 0.05], (40, 1))
    truth = np.repeat([0, 1, 2], [20, 10, 10]).astype(np.int8)
    sell = reliability(said, truth)[0]
    assert sell.error == pytest.approx(np.mean([abs(0.9 - one.happened) for one in sell.bins]))
    assert sell.error > 0.3


def test_fewer_rows_than_bins_are_bins_of_one():
    (curve, *_) = reliability(np.array([[0.2, 0.3, 0.5]]), np.array([0], dtype=np.int8))
    assert curve.bins == (Bin(0.2, 1.0, 1),)
    assert curve.error == pytest.approx(0.8)
