"""Compiled loops give what Python's integers give, to the last digit. They are compiled once for this file."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from backtests import compiled
from engine.history import Machine, Series, simulate
from engine.orders import LARGEST_INT32
from engine.terms import Costs, Limits, Policy, Rules
from tests.engine.accounts import CENTS, Market, accounts, random_series
from tests.engine.extremes import extreme_account
from tests.engine.test_bounds import same
from tests.engine.test_history import LEVELS, LIMITS, Account, busy_account

pytestmark = pytest.mark.slow
ACCOUNTS = 700
PRICES = ("open", "high", "low", "close")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Machine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled.settings, "COMPILED_DIR", tmp_path_factory.mktemp("compiled"))
        return {prices: compiled._machine.__wrapped__(prices) for prices in ("int32", "int64")}


def narrowed(series: list[Series]) -> list[Series]:
    """The same with prices of 32 bits; those that need more stay."""
    found = []
    for one in series:
        narrow = {name: getattr(one, name).astype(np.int32) for name in PRICES}
        found.append(replace(one, **narrow) if one.high.max(initial=0) <= LARGEST_INT32 else one)
    return found


def test_compiled_code_plays_as_python_does_where_every_rule_bites(machines: dict[str, Machine]) -> None:
    for limited in LIMITS:
        for levels in LEVELS:
            series, cash = busy_account(limited, levels, 3)
            expected = simulate(series, cash)
            for machine, given_ in ((machines["int64"], series), (machines["int32"], narrowed(series))):
                played = simulate(given_, cash, compiled=machine)
                assert played.equity.dtype == np.int64
                assert same(played, expected)
                recorded = expected.steps.astype(np.int64)
                assert same(simulate(given_, cash, steps=recorded, compiled=machine), expected)


@settings(max_examples=100)
@given(account=accounts())
def test_compiled_code_plays_as_python_does(machines: dict[str, Machine], account: Account) -> None:
    series, cash = account
    expected = simulate(series, cash)
    assert same(simulate(series, cash, compiled=machines["int64"]), expected)
    assert same(simulate(narrowed(series), cash, compiled=machines["int32"]), expected)


def test_compiled_code_is_right_at_the_edge_of_its_bits(machines: dict[str, Machine]) -> None:
    finished = 0
    for seed in range(ACCOUNTS):
        series, cash = extreme_account(seed)
        expected = simulate(series, cash)
        played = simulate(series, cash, compiled=machines["int64"])
        assert same(played, expected), seed
        assert same(simulate(narrowed(series), cash, compiled=machines["int32"]), expected), seed
        finished += played.equity.dtype == np.int64
    assert finished > ACCOUNTS / 10


def test_prices_that_need_different_types_are_widened(machines: dict[str, Machine]) -> None:
    """The highs of a market may need 64 bits where its lows do not, and those of its neighbour as well."""
    series, cash = busy_account(LIMITS[0], LEVELS[1], 3)
    high = np.maximum(series[1].high, 2 * LARGEST_INT32)
    mixed = [narrowed(series)[0], replace(narrowed([series[1]])[0], high=high), series[2]]
    played = simulate(mixed, cash, compiled=machines["int64"])
    assert played.equity.dtype == np.int64
    assert same(played, simulate(mixed, cash))
    assert simulate(mixed, cash, compiled=machines["int32"]).equity.dtype == object


def test_columns_with_gaps_and_of_other_types_are_read_rightly(machines: dict[str, Machine]) -> None:
    (one,), cash = busy_account(LIMITS[0], LEVELS[1], 1)
    strided = {name: np.repeat(getattr(one, name), 2)[::2] for name in (*PRICES, "times", "confidence", "noise")}
    other = replace(one, **strided, actions=one.actions.astype(np.int64))
    assert same(simulate([other], cash, compiled=machines["int64"]), simulate([one], cash))


def test_a_long_history_with_thousands_of_fills_is_the_same(machines: dict[str, Machine]) -> None:
    rules = Rules(CENTS, Costs(), Policy(stop_loss=0.01, take_profit=0.02, trailing_stop=0.015), Limits())
    market = Market(20_000, 100.0, 0.003, 60, delay=0, gaps=0.01, eagerness=0.4)
    series = [random_series(market, rules, seed) for seed in (1, 2)]
    played = simulate(series, 10**12, compiled=machines["int64"])
    assert len(played.fills) > 5000
    assert same(played, simulate(series, 10**12))
