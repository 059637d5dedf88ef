"""What `bounded` lets 64 bits compute fits into them: each sum and product, however far prices jump."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from engine.history import Played, Series, simulate
from engine.orders import LARGEST_INT64, Instrument
from engine.terms import Limits, Policy, Rules, bounded, terms_of
from tests.engine.accounts import CENTS, FREE, NO_COSTS, terms
from tests.engine.extremes import CHECKED, Int64, extreme_account

ACCOUNTS = 700


def same(left: Played, right: Played) -> bool:
    arrays = ("equity", "positions", "outcomes", "fills", "steps")
    return (left.account, left.holdings) == (right.account, right.holdings) and all(
        getattr(left, name).tolist() == getattr(right, name).tolist() for name in arrays
    )


def test_a_checked_number_notices_an_overflow() -> None:
    assert Int64(2**62) + (2**62 - 1) == 2**63 - 1
    assert -Int64(2**63 - 1) - 1 == -(2**63)
    for grow in (lambda one: one + 1, lambda one: 2 * one, lambda one: -one * 2, lambda one: 10 + one):
        with pytest.raises(AssertionError, match="64 bits"):
            grow(Int64(2**63 - 1))


def test_no_number_of_an_accepted_history_overflows() -> None:
    """Each history that 64 bits accept is played to its end there, or given back to Python's integers."""
    accepted = traded = 0
    for seed in range(ACCOUNTS):
        series, cash = extreme_account(seed)
        played = simulate(series, cash, compiled=CHECKED)
        assert same(played, simulate(series, cash)), seed
        accepted += played.equity.dtype == np.int64
        traded += played.equity.dtype == np.int64 and len(played.fills) > 0
    assert accepted > ACCOUNTS / 10
    assert traded > ACCOUNTS / 20


def one_price(prices: list[int], actions: list[int], rules: Rules) -> Series:
    column, n = np.array(prices, dtype=np.int64), len(prices)
    return Series(
        rules, 60, np.arange(n, dtype=np.int64) * 60, column, column, column, column,
        np.array(actions, dtype=np.int8), np.ones(n), np.zeros(n),
    )  # fmt: skip


def test_a_price_that_explodes_while_a_position_is_held_is_noticed() -> None:
    """No decision is made after the explosion: the valuation itself has to notice."""
    rules = Rules(CENTS, NO_COSTS, Policy(**FREE, quantity=Decimal(2 * 10**12)), Limits(Decimal(1)))
    exploding = one_price([1, 1, 10**6, 10**6], [2, 1, 1, 1], rules)
    cash = 12 * 10**12
    assert simulate([exploding], cash, compiled=CHECKED).equity.dtype == np.int64
    played = simulate([exploding] * 5, cash, compiled=CHECKED)
    assert played.equity.dtype == object
    assert played.equity[-1] == 2 * 10**12 + 10**19 > 2**63


def test_an_exposure_that_explodes_before_the_next_entry_is_noticed() -> None:
    """Exposure is compared in hundredths of a percent: what is held counts ten thousand times."""
    limited, cash = Limits(Decimal(1), max_exposure=Decimal("0.0001")), 2 * 10**15
    first = Rules(CENTS, NO_COSTS, Policy(**FREE, quantity=Decimal(2 * 10**10)), limited)
    held = one_price([1, 1, 10_000, 10_000], [2, 1, 1, 1], first)
    second = Rules(CENTS, NO_COSTS, Policy(**FREE, quantity=Decimal(1)), limited)
    entering = one_price([1, 1, 1, 1], [1, 1, 2, 1], second)
    series = [*[held] * 6, entering]
    played = simulate(series, cash, compiled=CHECKED)
    assert same(played, simulate(series, cash))
    assert len(played.fills) == 6


@pytest.mark.parametrize(
    ("instrument", "policy", "limits", "highest"),
    [
        (CENTS, {}, {}, LARGEST_INT64),
        (CENTS, {"stop_loss": 0.033333333333333333}, {}, 10**4),
        (CENTS, {"quantity": Decimal(10) ** 19}, {}, 100),
        (CENTS, {}, {"max_entries_per_day": 10**19}, 100),
        (CENTS, {}, {"max_open_positions": 10**19}, 100),
        (CENTS, {}, {"max_position": Decimal("0.1234567890123456789")}, 100),
        (replace(CENTS, minimum_notional=Decimal(10) ** 18), {}, {}, 100),
        (Instrument("X", Decimal("1e-9"), Decimal("1e-9"), money_step=Decimal(1)), {}, {}, 100),
    ],
)
def test_what_cannot_fit_is_left_to_pythons_integers(
    instrument: Instrument, policy: dict[str, object], limits: dict[str, object], highest: int
) -> None:
    allowed = Limits(**{"max_position": Decimal(1), **limits})
    assert bounded(terms(instrument, limits=allowed, **policy), highest) is None


def test_what_fits_keeps_its_terms_and_gets_its_bounds() -> None:
    plain = terms_of(Rules(Instrument("BTCUSDT")))
    found = bounded(plain, 10_000_000)
    assert found is not None
    assert found._replace(largest_lots=plain.largest_lots, largest_money=plain.largest_money) == plain
    # A million BTC at 100,000.00 each, and 100 billion of money.
    assert found.largest_lots * 1e-5 > 1e6
    assert found.largest_money * 0.01 > 1e11
