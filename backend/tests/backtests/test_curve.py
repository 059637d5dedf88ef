from decimal import Decimal

import numpy as np
import pytest

from backtests.curve import Curve, thinned


def test_a_curve_is_exact_in_whole_steps():
    curve = Curve(np.array([1_000_000, 1_000_001, 990_000]), Decimal("0.01"))
    assert [str(curve.at(row)) for row in range(3)] == ["10000.00", "10000.01", "9900.00"]
    assert curve.floats().tolist() == [10000.0, 10000.01, 9900.0]
    assert curve.percent(Decimal(10000)) == -1.0


def test_amounts_beyond_64_bits_stay_exact():
    count = 12345678901234512345678
    curve = Curve(np.array([count], dtype=object), Decimal("0.00000001"))
    assert curve.at(0) == Decimal("123456789012345.12345678")
    assert curve.floats().tolist() == [123456789012345.12345678]


@pytest.mark.parametrize("size", [1, 2, 9, 10, 11, 1000])
def test_thinning_keeps_the_ends_and_the_extremes(size: int):
    values = np.random.default_rng(size).normal(size=size)
    rows = thinned(values, 10)
    assert rows.size <= 10 or size <= 10
    assert np.all(np.diff(rows) > 0)
    assert {0, size - 1, int(values.argmin()), int(values.argmax())} <= set(rows.tolist())
