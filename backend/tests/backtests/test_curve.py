from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.curve import exact_curve, thinned
from engine.orders import Instrument

STEPS = [Decimal("0.01"), Decimal("0.00000001"), Decimal("0.05"), Decimal(1)]


@given(
    cash=st.integers(0, 10**11),
    quantities=st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
    price=st.integers(1, 10**9),
    step=st.sampled_from(STEPS),
)
def test_a_curve_is_rounded_as_if_every_value_were_a_decimal(
    cash: int, quantities: list[int], price: int, step: Decimal
):
    # Half-cents are common: quantities in thousandths, prices in tenths.
    exact = [Decimal(cash) / 100 + Decimal(quantity) / 1000 * Decimal(price) / 10 for quantity in quantities]
    floats = np.array([cash / 100 + quantity / 1000 * (price / 10) for quantity in quantities])
    curve = exact_curve(floats, exact.__getitem__, Instrument("X", money_step=step))
    expected = [(value / step).to_integral_value(ROUND_HALF_EVEN) * step for value in exact]
    assert [curve.at(row) for row in range(len(exact))] == expected


def test_only_ties_are_worked_out_one_by_one():
    asked = []

    def exact_at(row: int) -> Decimal:
        asked.append(row)
        return Decimal("1.005")

    curve = exact_curve(np.array([1.0, 1.005, 1.004, 1.006]), exact_at, Instrument("X"))
    assert asked == [1]
    assert curve.counts.tolist() == [100, 100, 100, 101]


def test_amounts_beyond_64_bits_stay_exact():
    value = Decimal("123456789012345.12345678")
    curve = exact_curve(np.array([float(value)]), lambda row: value, Instrument("X", money_step=Decimal("0.00000001")))
    assert curve.at(0) == value


@pytest.mark.parametrize("size", [1, 2, 9, 10, 11, 1000])
def test_thinning_keeps_the_ends_and_the_extremes(size: int):
    values = np.random.default_rng(size).normal(size=size)
    rows = thinned(values, 10)
    assert rows.size <= 10 or size <= 10
    assert np.all(np.diff(rows) > 0)
    assert {0, size - 1, int(values.argmin()), int(values.argmax())} <= set(rows.tolist())
