from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.orders import Reason
from engine.protect import Exit, Guard, first_exit, followed, guard
from engine.terms import Policy
from tests.engine.accounts import BTC

NONE = {"stop_loss": None, "take_profit": None, "trailing_stop": None}


def levels(entry: str = "100.00", **policy: float | None) -> Guard:
    found = guard(Decimal(entry), Policy(**{**NONE, **policy}), BTC)
    assert found is not None
    return found


def exit_in(protection: Guard, *candles: tuple[float, float, float]) -> Exit | None:
    opens, highs, lows = (np.array(column, dtype=float) for column in zip(*candles, strict=True))
    return first_exit(protection, opens, highs, lows)


def test_a_policy_without_levels_guards_nothing() -> None:
    assert guard(Decimal(100), Policy(**NONE), BTC) is None


def test_levels_stand_around_the_entry_price_on_the_tick_grid() -> None:
    found = levels("99.99", stop_loss=0.033, take_profit=0.033)
    assert (found.stop, found.target) == (Decimal("96.69"), Decimal("103.29"))


def test_a_stop_is_filled_at_its_level() -> None:
    assert exit_in(levels(stop_loss=0.05), (100, 101, 96), (98, 99, 94)) == Exit(1, 95.0, Reason.STOP_LOSS)


def test_a_gap_below_the_stop_is_filled_at_the_open() -> None:
    assert exit_in(levels(stop_loss=0.05), (90, 99, 89)) == Exit(0, 90.0, Reason.STOP_LOSS)


def test_a_target_is_filled_at_its_level() -> None:
    assert exit_in(levels(take_profit=0.05), (100, 106, 99)) == Exit(0, 105.0, Reason.TAKE_PROFIT)


def test_a_gap_above_the_target_is_filled_at_the_open() -> None:
    assert exit_in(levels(take_profit=0.05), (107, 108, 106)) == Exit(0, 107.0, Reason.TAKE_PROFIT)


def test_a_candle_that_reaches_both_counts_as_stopped() -> None:
    found = exit_in(levels(stop_loss=0.05, take_profit=0.05), (100, 106, 94))
    assert found == Exit(0, 95.0, Reason.STOP_LOSS)


def test_an_open_beyond_the_target_comes_before_the_low_of_its_candle() -> None:
    found = exit_in(levels(stop_loss=0.05, take_profit=0.05), (106, 107, 90))
    assert found == Exit(0, 106.0, Reason.TAKE_PROFIT)


def test_touching_a_level_is_reaching_it() -> None:
    assert exit_in(levels(stop_loss=0.05), (100, 101, 95.0)) == Exit(0, 95.0, Reason.STOP_LOSS)


def test_a_trailing_stop_follows_the_highs_of_the_candles_before() -> None:
    trailing = levels(trailing_stop=0.1)
    assert exit_in(trailing, (100, 120, 105)) is None
    assert exit_in(trailing, (100, 120, 105), (118, 119, 107)) == Exit(1, 108.0, Reason.TRAILING_STOP)


def test_the_nearer_stop_counts() -> None:
    both = levels(stop_loss=0.05, trailing_stop=0.2)
    assert exit_in(both, (100, 101, 94)) == Exit(0, 95.0, Reason.STOP_LOSS)
    assert exit_in(both, (100, 150, 99), (140, 141, 110)) == Exit(1, 120.0, Reason.TRAILING_STOP)


def test_the_stop_in_force_is_told() -> None:
    assert followed(levels(stop_loss=0.05, trailing_stop=0.2), np.array([150.0, 120.0])).stop_level() == 120.0
    assert levels(take_profit=0.1).stop_level() is None


@pytest.mark.parametrize("policy", [{"stop_loss": 0.02}, {"trailing_stop": 0.02}, {"take_profit": 0.02}])
def test_a_quiet_market_reaches_nothing(policy: dict[str, float]) -> None:
    assert exit_in(levels(**policy), *[(100, 101, 99)] * 5) is None


candles = st.lists(st.tuples(*[st.floats(80, 120)] * 3), min_size=1, max_size=30).map(
    lambda rows: [(o, max(o, a, b), min(o, a, b)) for o, a, b in rows]
)
optional = st.none() | st.floats(0.001, 0.3)


@given(candles, optional, optional, optional)
def test_a_run_of_candles_ends_where_single_candles_do(
    rows: list[tuple[float, float, float]], stop: float | None, target: float | None, trailing: float | None
) -> None:
    protection = guard(Decimal(100), Policy(stop_loss=stop, take_profit=target, trailing_stop=trailing), BTC)
    if protection is None:
        return
    single = None
    at_each = protection
    for number, row in enumerate(rows):
        single = exit_in(at_each, row)
        if single is not None:
            single = single._replace(candle=number)
            break
        at_each = followed(at_each, np.array([row[1]]))
    assert exit_in(protection, *rows) == single


@given(candles, optional, optional, optional)
def test_an_exit_is_never_better_than_its_candle_allows(
    rows: list[tuple[float, float, float]], stop: float | None, target: float | None, trailing: float | None
) -> None:
    protection = guard(Decimal(100), Policy(stop_loss=stop, take_profit=target, trailing_stop=trailing), BTC)
    found = protection and exit_in(protection, *rows)
    if found:
        open_, high, low = rows[found.candle]
        assert low <= found.price <= high
        if found.reason is not Reason.TAKE_PROFIT:
            assert found.price <= open_
