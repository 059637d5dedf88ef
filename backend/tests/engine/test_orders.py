from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import orders
from engine.orders import (
    LARGEST_INT32,
    LARGEST_INT64,
    NOTHING_TO_DO,
    OUTCOMES,
    Action,
    Code,
    Instrument,
    Reason,
    exact,
    refusal_counts,
)
from tests.engine.accounts import BTC, instruments

wholes = st.integers(0, 10**12)


def test_the_plain_numbers_are_those_of_the_names() -> None:
    assert list(Action) == [orders.SELL, orders.HOLD, orders.BUY]
    for number, reason in enumerate(Reason):
        assert getattr(orders, reason.name) == number
    for code in Code:
        assert OUTCOMES[getattr(orders, f"REFUSED_{code.name}")] == code.value
    assert [OUTCOMES[number] for number in (orders.NONE, orders.PENDING, orders.EXECUTED)] == [
        "none", "pending", "executed",
    ]  # fmt: skip
    assert {Code.HOLD, Code.POSITION_OPEN, Code.NO_POSITION} == NOTHING_TO_DO


@given(instruments(), wholes)
def test_what_stands_on_the_grid_comes_back_as_it_was(instrument: Instrument, number: int) -> None:
    assert instrument.exact_ticks(instrument.price(number)) == number
    assert instrument.exact_lots(instrument.quantity(number)) == number
    assert instrument.lots(instrument.quantity(number)) == number
    assert instrument.money_steps(instrument.money(number)) == number
    if number:
        assert instrument.ticks(float(instrument.price(number))) == number


@given(instruments(), wholes, st.decimals("0.001", "0.999", places=3))
def test_what_stands_off_the_grid_is_refused(instrument: Instrument, number: int, part: Decimal) -> None:
    for step, convert in (
        (instrument.price_tick, instrument.exact_ticks),
        (instrument.lot_step, instrument.exact_lots),
        (instrument.money_step, instrument.money_steps),
    ):
        with pytest.raises(ValueError, match="not in whole steps"):
            convert((number + part) * step)


def test_a_value_between_the_steps_is_refused_however_long_it_is() -> None:
    thirds = Instrument("X", price_tick=Decimal("0.03"))
    with pytest.raises(ValueError, match=r"the price 1 is not in whole steps of 0\.03"):
        thirds.exact_ticks(Decimal(1))
    with pytest.raises(ValueError, match="not in whole steps"):
        thirds.exact_ticks(Decimal("0.0299999999999999999999999999999"))


@given(instruments(), wholes, st.decimals(0, "0.999", places=3))
def test_a_quantity_is_rounded_down_to_lots(instrument: Instrument, number: int, part: Decimal) -> None:
    assert instrument.lots((number + part) * instrument.lot_step) == number


@pytest.mark.parametrize(
    ("price", "tick", "expected"),
    [(88500.123, "0.01", 8850012), (0.006, "0.01", 1), (101.13, "0.05", 2023), (2.5, "1", 2), (3.5, "1", 4)],
)
def test_a_market_price_goes_to_the_nearest_tick(price: float, tick: str, expected: int) -> None:
    assert Instrument("X", price_tick=Decimal(tick)).ticks(price) == expected


@pytest.mark.parametrize(("price", "tick"), [(0.004, "0.01"), (49000.0, "1000000"), (1e-9, "0.00000001")])
def test_a_market_price_below_half_a_tick_is_refused(price: float, tick: str) -> None:
    with pytest.raises(ValueError, match="below half a tick"):
        Instrument("X", price_tick=Decimal(tick)).ticks(price)


@given(instruments(), st.lists(st.floats(0.5, 1e14), min_size=1, max_size=20))
def test_an_array_of_prices_is_each_of_them(instrument: Instrument, prices: list[float]) -> None:
    prices = [price + float(instrument.price_tick) for price in prices]
    assert instrument.tick_array(np.array(prices)).tolist() == [instrument.ticks(price) for price in prices]


@pytest.mark.parametrize(
    ("highest", "dtype"),
    [
        (1.0, np.int32),
        (LARGEST_INT32 / 100, np.int32),
        (LARGEST_INT32 / 100 + 1, np.int64),
        (LARGEST_INT64 / 200, np.int64),
        (LARGEST_INT64 / 10, object),
    ],
)
def test_an_array_takes_the_smallest_type_that_holds_it(highest: float, dtype: object) -> None:
    assert BTC.tick_array(np.array([1.0, highest])).dtype == dtype
    assert BTC.tick_array(np.array([])).dtype == np.int32


@pytest.mark.parametrize("step", ["0.05", "0.25", "0.5", "2", "10"])
def test_ticks_that_are_no_power_of_ten_are_kept(step: str) -> None:
    grid = Instrument("FUTURE", price_tick=Decimal(step))
    found = grid.price(grid.ticks(101.13))
    assert found % Decimal(step) == 0
    assert abs(found - Decimal("101.13")) <= Decimal(step) / 2


def test_the_least_notional_is_rounded_up_to_money_steps() -> None:
    assert Instrument("X", minimum_notional=Decimal("5.001")).least_steps == 501
    assert Instrument("X", minimum_notional=Decimal(5)).least_steps == 500


@pytest.mark.parametrize(
    "wrong",
    [
        {"price_tick": Decimal(0)},
        {"lot_step": Decimal(-1)},
        {"money_step": Decimal(0)},
        {"minimum_notional": Decimal(-1)},
    ],
)
def test_an_instrument_checks_itself(wrong: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} of X must"):
        Instrument("X", **wrong)


def test_a_float_is_taken_as_it_is_written() -> None:
    assert exact(0.1) == Decimal("0.1")


def test_refusals_are_counted_commonest_first() -> None:
    numbers = [OUTCOMES.index(name) for name in ("none", "executed", "hold", "no_position", "hold", "pending")]
    assert list(refusal_counts(np.array(numbers, np.int8)).items()) == [("hold", 2), ("no_position", 1)]
