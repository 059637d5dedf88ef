from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.account import buy, within
from engine.ledger import FLAT, Books, Holding
from engine.orders import EXECUTED, NONE, SELL, SIGNAL, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP
from engine.protect import first_exit, stop_level, target_level, trailing_level
from engine.terms import Terms
from tests.engine.accounts import CASH, NO_COSTS, account, terms

Candle = tuple[int, int, int]
"""Open, high and low."""


@dataclass(frozen=True)
class Exit:
    candle: int
    price: int
    reason: int


def levels(entry: int = 100, **policy: float) -> tuple[Books, Holding, Terms]:
    """A position of one lot bought at so many units of 100 ticks, without costs."""
    t = terms(costs=NO_COSTS, **policy)
    a, h, _ = buy(account(), FLAT, 1, 100 * entry, t)
    return a, h, t


def exit_in(position: tuple[Books, Holding, Terms], *candles: Candle) -> Exit | None:
    a, h, t = position
    for number, prices in enumerate(candles):
        a, h, event = within(a, h, *(100 * price for price in prices), 0, t)
        if event.outcome == EXECUTED:
            assert (event.action, event.lots, h) == (SELL, 1, FLAT)
            return Exit(number, event.requested, event.reason)
        assert event.outcome == NONE
    return None


def test_a_policy_without_levels_protects_nothing() -> None:
    _, h, t = levels()
    assert (h.stop, h.target, trailing_level(h.high, h.trail_n, h.trail_d)) == (0, 0, 0)
    assert exit_in(levels(), (1, 1000, 1)) is None
    assert t.stop_fills_at_low == 0


def test_levels_stand_around_the_entry_price_on_the_worse_tick() -> None:
    t = terms(stop_loss=0.033, take_profit=0.033, trailing_stop=0.033)
    assert (stop_level(9999, t), target_level(9999, t)) == (9669, 10_329)
    assert trailing_level(9999, t.trail_n, t.trail_d) == 9669


def test_a_stop_is_filled_at_its_level() -> None:
    assert exit_in(levels(stop_loss=0.05), (100, 101, 96), (98, 99, 94)) == Exit(1, 9500, STOP_LOSS)


def test_a_stop_can_be_filled_at_the_low_instead() -> None:
    careful = levels(stop_loss=0.05, stop_fills_at_low=True)
    assert exit_in(careful, (100, 101, 96), (98, 99, 94)) == Exit(1, 9400, STOP_LOSS)
    assert exit_in(levels(trailing_stop=0.05, stop_fills_at_low=True), (98, 99, 94)) == Exit(0, 9400, TRAILING_STOP)
    assert exit_in(careful, (90, 99, 89)) == Exit(0, 9000, STOP_LOSS)
    assert exit_in(levels(take_profit=0.05, stop_fills_at_low=True), (100, 106, 99)) == Exit(0, 10_500, TAKE_PROFIT)


def test_a_gap_below_the_stop_is_filled_at_the_open() -> None:
    assert exit_in(levels(stop_loss=0.05), (90, 99, 89)) == Exit(0, 9000, STOP_LOSS)


def test_a_target_is_filled_at_its_level() -> None:
    assert exit_in(levels(take_profit=0.05), (100, 106, 99)) == Exit(0, 10_500, TAKE_PROFIT)


def test_a_gap_above_the_target_is_filled_at_the_open() -> None:
    assert exit_in(levels(take_profit=0.05), (107, 108, 106)) == Exit(0, 10_700, TAKE_PROFIT)


def test_a_candle_that_reaches_both_counts_as_stopped() -> None:
    assert exit_in(levels(stop_loss=0.05, take_profit=0.05), (100, 106, 94)) == Exit(0, 9500, STOP_LOSS)


def test_an_open_beyond_the_target_comes_before_the_low_of_its_candle() -> None:
    assert exit_in(levels(stop_loss=0.05, take_profit=0.05), (106, 107, 90)) == Exit(0, 10_600, TAKE_PROFIT)


def test_touching_a_level_is_reaching_it() -> None:
    assert exit_in(levels(stop_loss=0.05), (100, 101, 95)) == Exit(0, 9500, STOP_LOSS)
    assert exit_in(levels(take_profit=0.05), (100, 105, 99)) == Exit(0, 10_500, TAKE_PROFIT)


def test_a_trailing_stop_follows_the_highs_of_the_candles_before() -> None:
    trailing = levels(trailing_stop=0.1)
    assert exit_in(trailing, (100, 120, 105)) is None
    assert exit_in(trailing, (100, 120, 105), (118, 119, 107)) == Exit(1, 10_800, TRAILING_STOP)


def test_a_trailing_stop_starts_at_the_price_of_the_entry() -> None:
    assert exit_in(levels(trailing_stop=0.1), (95, 96, 91), (92, 93, 90)) == Exit(1, 9000, TRAILING_STOP)


def test_the_nearer_stop_counts() -> None:
    both = levels(stop_loss=0.05, trailing_stop=0.2)
    assert exit_in(both, (100, 101, 94)) == Exit(0, 9500, STOP_LOSS)
    assert exit_in(both, (100, 150, 99), (140, 141, 110)) == Exit(1, 12_000, TRAILING_STOP)


def test_a_level_is_measured_from_the_price_after_slippage() -> None:
    t = terms(stop_loss=0.05, trailing_stop=0.1)
    _, h, event = buy(account(), FLAT, 1, 10_000, t)
    assert (event.price, h.stop, h.high) == (10_010, 9509, 10_010)


@pytest.mark.parametrize("policy", [{"stop_loss": 0.02}, {"trailing_stop": 0.02}, {"take_profit": 0.02}])
def test_a_quiet_market_reaches_nothing(policy: dict[str, float]) -> None:
    assert exit_in(levels(**policy), *[(100, 101, 99)] * 5) is None


# A candle gives four prices and not their order: what happens first is decided against the trader.
@pytest.mark.parametrize(
    ("stop", "target", "trailing", "candle", "expected"),
    [
        (95, 0, 0, (100, 200, 95), (95, STOP_LOSS)),
        (95, 0, 0, (95, 200, 90), (95, STOP_LOSS)),
        (95, 0, 0, (94, 200, 90), (94, STOP_LOSS)),
        (95, 0, 0, (100, 200, 96), (0, SIGNAL)),
        (0, 105, 0, (100, 105, 1), (105, TAKE_PROFIT)),
        (0, 105, 0, (105, 110, 1), (105, TAKE_PROFIT)),
        (0, 105, 0, (106, 110, 1), (106, TAKE_PROFIT)),
        (0, 105, 0, (100, 104, 1), (0, SIGNAL)),
        (95, 105, 0, (100, 110, 90), (95, STOP_LOSS)),
        (95, 105, 0, (106, 110, 90), (106, TAKE_PROFIT)),
        (95, 105, 0, (94, 110, 90), (94, STOP_LOSS)),
        (95, 0, 98, (100, 110, 90), (98, TRAILING_STOP)),
        (95, 0, 95, (100, 110, 90), (95, STOP_LOSS)),
        (95, 0, 90, (100, 110, 90), (95, STOP_LOSS)),
        (95, 0, 98, (97, 110, 90), (97, TRAILING_STOP)),
        # A trailing stop that has risen above the target: the open is at or below it, and sells.
        (0, 105, 110, (108, 120, 100), (108, TRAILING_STOP)),
        (0, 105, 110, (111, 120, 100), (111, TAKE_PROFIT)),
        (0, 105, 110, (110, 120, 100), (110, TRAILING_STOP)),
        (0, 0, 0, (100, 200, 1), (0, SIGNAL)),
    ],
)
def test_an_ambiguous_candle_is_decided_against_the_trader(
    stop: int, target: int, trailing: int, candle: Candle, expected: tuple[int, int]
) -> None:
    assert first_exit(stop, target, trailing, *candle, 0) == expected


prices = st.lists(st.tuples(*[st.integers(80, 120)] * 3), min_size=1, max_size=30).map(
    lambda rows: [(o, max(o, a, b), min(o, a, b)) for o, a, b in rows]
)
optional = st.none() | st.floats(0.001, 0.3)


@given(prices, optional, optional, optional, st.booleans())
def test_an_exit_is_never_better_than_its_candle_allows(
    rows: list[Candle], stop: float | None, target: float | None, trailing: float | None, at_low: bool
) -> None:
    policy = {"stop_loss": stop, "take_profit": target, "trailing_stop": trailing, "stop_fills_at_low": at_low}
    found = exit_in(levels(**policy), *rows)
    if found:
        open_, high, low = rows[found.candle]
        assert 100 * low <= found.price <= 100 * high
        if found.reason != TAKE_PROFIT:
            assert found.price <= 100 * open_
        if at_low and found.reason != TAKE_PROFIT:
            assert found.price in (100 * low, 100 * open_)


def test_the_whole_position_goes_and_the_books_know_why() -> None:
    t = terms(stop_loss=0.05)
    a, h, _ = buy(account(), FLAT, 10, 10_000, t)
    a, h, event = within(a, h, 10_000, 10_000, 9000, 0, t)
    # The stop at 95.09 less slippage.
    assert (event.requested, event.price, event.amount, event.commission) == (9509, 9499, 94_990, 95)
    assert (h, a.cash, a.worth) == (FLAT, CASH + event.profit, 0)


def test_the_high_is_followed_only_behind_a_trailing_stop() -> None:
    a, h, t = levels(stop_loss=0.5)
    assert within(a, h, 10_000, 12_000, 10_000, 0, t)[1].high == 10_000
    a, h, t = levels(trailing_stop=0.5)
    assert within(a, h, 10_000, 12_000, 10_000, 0, t)[1].high == 12_000
    assert Decimal(h.trail_n) / h.trail_d == Decimal("0.5")
