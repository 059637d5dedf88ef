"""Round trips all at once: claimed only where they are, to the last digit, those played one by one."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from engine.batch import FixedSizeHoldings, played_at_once
from engine.holdings import Course, Run
from engine.jump import _Jump, replay_actions
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.history import History
from engine.orders import Action, Instrument, Order
from engine.terms import Limits, Policy, Rules
from tests.engine.accounts import costs, instruments
from tests.markets import Array, made_candles, random_walk

FREE = {"stop_loss": None, "take_profit": None, "trailing_stop": None}


def fixed(quantity: str = "0.5", **policy: object) -> Policy:
    return Policy(quantity=Decimal(quantity), **{**FREE, **policy})


def history_of(close: Array, actions: list[int]) -> History:
    candles = made_candles(close)
    return History(candles, np.array(actions, dtype=np.int8), np.ones(close.size), np.zeros(close.size), "1h")


def random_history(rows: int, seed: int, start: float = 100.0, places: int = 2) -> History:
    rng = np.random.default_rng(seed)
    close = np.maximum(np.round(random_walk(rows, seed, start), places), 10.0**-places)
    return history_of(close, rng.choice([-1, 0, 1, 2], rows, p=[0.1, 0.3, 0.3, 0.3]).tolist())


def one_by_one(history: History, rules: Rules, cash: Decimal) -> _Jump:
    jump = _Jump(history, rules, cash)
    jump.play()
    return jump


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 80),
    start=st.sampled_from([0.5, 3.0, 100.0, 58025.11]),
    places=st.integers(0, 4),
    quantity=st.decimals("0.001", "50", places=3),
    cash=st.decimals("1", "1000000", places=2),
    instrument=instruments(),
    costs=costs(),
)
def test_what_is_claimed_is_what_is_played(
    seed: int, rows: int, start: float, places: int, quantity: Decimal, cash: Decimal, instrument: Instrument, costs
) -> None:
    history = random_history(rows, seed, start, places)
    rules = Rules(instrument, costs, fixed(str(quantity)), Limits(max_position=Decimal(1)))
    at_once, played = played_at_once(history, rules, cash), one_by_one(history, rules, cash)
    if at_once is None:
        return
    assert at_once.runs == played.course.runs
    assert played.refused == []
    assert at_once.entries.tolist() == played.course.entries
    assert [float(run.cash) for run in at_once.runs] == at_once.cash.tolist()
    assert [float(run.cash_after) for run in at_once.runs] == at_once.cash_after.tolist()


def test_usual_runs_are_claimed_and_their_books_agree() -> None:
    rules = Rules(Instrument("BTCUSDT"), policy=fixed(), limits=Limits(max_position=Decimal(1)))
    history = random_history(5000, seed=1)
    run = replay_actions(
        made_candles(history.close), history.actions, np.ones(5000), np.zeros(5000), "1h", rules, Decimal("10000.00")
    )
    assert isinstance(run.holdings, FixedSizeHoldings)
    assert len(run.trades) > 1000
    assert run.profits == [trade.profit for trade in run.trades if trade.profit is not None]
    assert run.book.cash == run.holdings.last_cash


CASH = Decimal("10000.00")


@pytest.mark.parametrize(
    ("change", "cash"),
    [
        ({"policy": Policy(**FREE)}, CASH),
        ({"policy": fixed(stop_loss=0.05)}, CASH),
        ({"policy": fixed(trailing_stop=0.05)}, CASH),
        ({"limits": Limits(kill_switch=True)}, CASH),
        ({"limits": Limits(max_entries_per_day=3)}, CASH),
        ({"limits": Limits(max_position=Decimal("0.001"))}, CASH),
        ({"policy": fixed("0.000001")}, CASH),
        ({"policy": fixed("500")}, CASH),
        ({"instrument": Instrument("BTCUSDT", minimum_notional=Decimal(1000))}, CASH),
        ({}, Decimal("0.005")),
        ({"instrument": Instrument("BTCUSDT", price_tick=Decimal("1e-18"))}, CASH),
    ],
)
def test_what_depends_on_more_than_the_signals_is_played_one_by_one(change: dict[str, object], cash: Decimal) -> None:
    plain = Rules(Instrument("BTCUSDT"), policy=fixed(), limits=Limits(max_position=Decimal(1)))
    history = random_history(200, seed=2)
    assert played_at_once(history, plain, CASH) is not None
    assert played_at_once(history, replace(plain, **change), cash) is None


def test_a_price_between_two_ticks_is_not_guessed() -> None:
    rules = Rules(Instrument("BTCUSDT", price_tick=Decimal(1)), policy=fixed(), limits=Limits(max_position=Decimal(1)))
    actions = [Action.BUY, Action.HOLD, Action.SELL, Action.HOLD]
    assert played_at_once(history_of(np.array([100.0, 101.0, 102.0, 103.0]), actions), rules, CASH) is not None
    assert played_at_once(history_of(np.array([100.5, 100.5, 102.0, 103.0]), actions), rules, CASH) is None


def test_a_position_may_be_open_at_the_end() -> None:
    rules = Rules(Instrument("BTCUSDT"), policy=fixed(), limits=Limits(max_position=Decimal(1)))
    history = history_of(np.array([100.0] * 4), [Action.BUY, Action.HOLD, Action.HOLD, Action.SELL])
    at_once = played_at_once(history, rules, CASH)
    assert at_once is not None
    assert at_once.runs == one_by_one(history, rules, CASH).course.runs
    assert at_once.profits() == []


def test_the_peak_counts_marks_and_the_cash_that_an_exit_leaves() -> None:
    buy = Order("BTCUSDT", Action.BUY, Decimal(2), Decimal(100))
    course = Course(Decimal(1000), np.array([100.0, 150.0, 90.0, 90.0]))
    course.add(Run(0, buy, Decimal(800), 2, buy, Decimal(1050)))
    assert course.peak_equity() == 1100
    course.add(Run(3, buy, Decimal(850), 4, buy, Decimal(1200)))
    assert course.peak_equity() == 1200
