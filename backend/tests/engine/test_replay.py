"""One definition of the rules, two speeds: the step and the jump have to agree to the last digit."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from engine.jump import OUTCOMES, Replay, replay
from engine.replay import Candle, Predict, State, Step, advance, step
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.features import FeatureForm, feature_matrix, feature_vector
from engine.indicators import WINDOW
from engine.orders import Code, Costs, Fill, Instrument, Reason
from engine.risk import Limits, Rules
from engine.snapshot import market_frame, snapshot_at
from engine.terms import Costs, Limits, Policy, Rules
from tests.engine.accounts import rules
from tests.markets import Array, made_candles, random_candles, real_candles

CASH = Decimal("10000.00")
WARM = 60


@dataclass
class Walk:
    """What a walk candle by candle saw."""

    state: State
    actions: list[int]
    outcomes: list[str]
    fills: list[Fill]
    equity: list[Decimal]


def walked(state: State, steps: list[Callable[[State], Step]]) -> Walk:
    actions, outcomes, fills, equity = [], [], [], []
    for take in steps:
        taken = take(state)
        state = taken.state
        if taken.outcome is not None:
            result = taken.outcome.result
            outcomes.append("executed" if isinstance(result, Fill) else result.code.value)
            fills += [result] if isinstance(result, Fill) else []
        fills += [taken.exit] if taken.exit else []
        actions.append(-1 if state.pending is None else int(state.pending.action))
        equity.append(state.equity)
    return Walk(state, actions, outcomes, fills, equity)


def walk(candles: pd.DataFrame, market: pd.DataFrame, probabilities: Array, interval: str, rules: Rules) -> Walk:
    """Candle by candle, with the model's answers looked up by time."""
    known = dict(zip(market.index, probabilities, strict=True))
    predict: Predict = lambda snapshot: known[pd.Timestamp(snapshot.open_time)]  # noqa: E731
    prices = candles[["open", "high", "low", "close"]].to_numpy().tolist()

    def taking(row: int) -> Callable[[State], Step]:
        candle = Candle(candles.index[row].to_pydatetime(), *prices[row])
        snapshot = snapshot_at(market, row, rules.instrument.symbol, interval)
        return lambda state: advance(state, candle, snapshot, predict, rules)

    return walked(State.start(CASH), [taking(row) for row in range(len(candles))])


def assert_same(walk: Walk, jumped: Replay) -> None:
    assert walk.actions == jumped.actions.tolist()
    outcomes = [OUTCOMES[number] for number in jumped.outcomes]
    assert walk.outcomes == [outcome for outcome in outcomes if outcome not in ("none", "pending")]
    assert walk.fills == [trade.fill for trade in jumped.trades]
    assert walk.state.book == jumped.book
    assert walk.equity == [jumped.holdings.equity_at(row) for row in range(len(walk.equity))]
    np.testing.assert_allclose(jumped.holdings.equity_array(), [float(value) for value in walk.equity], rtol=1e-12)


def moody_probabilities(rows: int, seed: int) -> Array:
    """A model that changes its mind now and then, and sometimes has no answer."""
    rng = np.random.default_rng(seed)
    moods = rng.dirichlet([0.7, 0.5, 0.7], size=rows)
    kept = np.maximum.accumulate(np.where(rng.random(rows) < rng.uniform(0.02, 1.0), np.arange(rows), 0))
    probabilities = moods[kept]
    probabilities[rng.random(rows) < 0.02] = np.nan
    return probabilities


SERIES = [("BTCUSDT_1h", "1h"), ("SPY_1h", "1h"), ("PEPEUSDT_1h", "1h"), ("TRXBTC_5m", "5m"), ("AAPL_1d", "1d")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    series=st.sampled_from(SERIES),
    start=st.integers(0, 1500),
    rows=st.integers(1, 220),
    holes=st.lists(st.integers(1, 219), max_size=4),
    seed=st.integers(0, 10**6),
    rules=rules(),
)
def test_the_jump_is_the_walk_on_real_candles(
    real_data: Path, series: tuple[str, str], start: int, rows: int, holes: list[int], seed: int, rules: Rules
) -> None:
    name, interval = series
    candles = real_candles(real_data, name).iloc[start : start + WARM + rows]
    market = market_frame(candles).iloc[WARM:]
    kept = np.setdiff1d(np.arange(len(market)), holes)
    market = market.iloc[kept]
    probabilities = moody_probabilities(len(market), seed)
    expected = walk(market, market, probabilities, interval, rules)
    assert_same(expected, replay(market, probabilities, market["volatility"].to_numpy(), interval, rules, CASH))


TIGHT = [
    (Limits(Decimal(1), max_daily_loss=Decimal("0.002")), Code.DAILY_LOSS_LIMIT),
    (Limits(Decimal(1), max_drawdown=Decimal("0.02")), Code.DRAWDOWN_LIMIT),
    (Limits(Decimal(1), max_entries_per_day=2), Code.ENTRIES_PER_DAY),
    (Limits(Decimal(1), max_quote_age_seconds=0.0), Code.STALE_QUOTE),
    (Limits(Decimal("0.3")), Code.POSITION_LIMIT),
]


@pytest.mark.parametrize(("limits", "code"), TIGHT)
@pytest.mark.parametrize("levels", [{}, {"stop_loss": 0.004, "take_profit": 0.008}, {"trailing_stop": 0.005}])
def test_the_jump_is_the_walk_where_a_limit_bites(
    real_data: Path, limits: Limits, code: Code, levels: dict[str, float]
) -> None:
    # Shares sleep at night: what was decided at the close of the day is old in the morning.
    series = "SPY_1h" if code is Code.STALE_QUOTE else "BTCUSDT_1h"
    candles = real_candles(real_data, series).iloc[300 : 300 + WARM + 600]
    market = market_frame(candles).iloc[WARM:]
    probabilities = moody_probabilities(len(market), seed=11)
    free = {"stop_loss": None, "take_profit": None, "trailing_stop": None}
    size = {"quantity": Decimal("0.055")} if code is Code.POSITION_LIMIT else {"max_position": 1.0}
    policy = Policy(confidence_threshold=0.4, risk_per_trade=1.0, **{**free, **levels}, **size)
    rules = Rules(Instrument("BTCUSDT"), Costs(), policy, limits)
    jumped = replay(market, probabilities, market["volatility"].to_numpy(), "1h", rules, CASH)
    assert_same(walk(market, market, probabilities, "1h", rules), jumped)
    assert jumped.refusals_by_code().get(code, 0) > 0
    assert len(jumped.trades) > 4


def linear_model(seed: int) -> Callable[[Array], Array]:
    """A model of the features. Sums in a fixed order: one row gives the bits of a batch."""
    weights = np.random.default_rng(seed).normal(0, 3, (14, 3))

    def answer(matrix: Array) -> Array:
        scores = sum((matrix[:, [slot]] * weights[slot] for slot in range(14)), np.zeros((len(matrix), 3)))
        positive = scores - scores.min(axis=1, keepdims=True) + 0.1
        return positive / (positive[:, [0]] + positive[:, [1]] + positive[:, [2]])

    return answer


@pytest.mark.parametrize(
    ("name", "interval", "first", "seed"), [("BTCUSDT_1h", "1h", 300, 1), ("SPY_1h", "1h", 1700, 3)]
)
def test_the_whole_fold_from_candles_to_cash_agrees(
    real_data: Path, name: str, interval: str, first: int, seed: int
) -> None:
    """On one side windows of candles and features of snapshots, on the other arrays of all history."""
    candles = real_candles(real_data, name).iloc[: first + 250]
    model, form = linear_model(seed), FeatureForm.STATIONARY
    market = market_frame(candles)
    probabilities = model(feature_matrix(market, form))
    rules = Rules(Instrument(name), policy=Policy(confidence_threshold=0.4, stop_loss=0.01, take_profit=0.02))
    jumped = replay(
        candles.iloc[first:], probabilities[first:], market["volatility"].to_numpy()[first:], interval, rules, CASH
    )
    predict: Predict = lambda snapshot: model(feature_vector(snapshot, form).reshape(1, 14))[0]  # noqa: E731

    def taking(row: int) -> Callable[[State], Step]:
        window = candles.iloc[max(0, row + 1 - WINDOW) : row + 1]
        return lambda state: step(state, window, interval, predict, rules)

    assert len(jumped.trades) > 10
    assert_same(walked(State.start(CASH), [taking(row) for row in range(first, len(candles))]), jumped)


def all_in(**policy: object) -> Rules:
    settings = {"confidence_threshold": 0.5, "stop_loss": None, "take_profit": None, "max_position": 1.0, **policy}
    return Rules(Instrument("BTCUSDT"), Costs(), Policy(**settings), Limits(max_position=Decimal(1)))


def told(*actions: str) -> Array:
    """Certain answers: S, H, B, and - for none."""
    rows = {"S": [1.0, 0, 0], "H": [0, 1.0, 0], "B": [0, 0, 1.0], "-": [np.nan] * 3}
    return np.array([rows[action] for action in actions])


def played(candles: pd.DataFrame, actions: str, rules: Rules) -> Replay:
    return replay(candles, told(*actions), np.zeros(len(candles)), "1h", rules, CASH)


def test_a_decision_is_filled_at_the_open_of_the_next_candle() -> None:
    candles = made_candles([100.0, 101.0, 102.0, 103.0, 104.0])
    candles["open"] = [90.0, 91.0, 92.0, 93.0, 94.0]
    candles["low"] = 80.0
    run = played(candles, "BHSHH", all_in())
    assert [(trade.row, str(trade.fill.order.price)) for trade in run.trades] == [(1, "91.00"), (3, "93.00")]
    assert [trade.fill.time for trade in run.trades] == [candles.index[1], candles.index[3]]


def test_the_last_decision_stays_pending() -> None:
    run = played(made_candles([100.0, 101.0]), "HB", all_in())
    assert (run.trades, [OUTCOMES[number] for number in run.outcomes]) == ([], ["hold", "pending"])


def test_every_decision_has_one_outcome() -> None:
    run = played(made_candles([100.0] * 8), "-SBBHSSH", all_in())
    assert [OUTCOMES[number] for number in run.outcomes] == [
        "none", "no_position", "executed", "position_open", "hold", "executed", "no_position", "pending",
    ]  # fmt: skip
    assert run.decisions_by_action() == {"BUY": 2, "HOLD": 2, "SELL": 3}
    assert run.refusals_by_code() == {"no_position": 2, "hold": 1, "position_open": 1}


def test_an_entry_can_be_stopped_in_its_own_candle() -> None:
    candles = made_candles([100.0, 100.0, 100.0])
    candles.loc[candles.index[1], "low"] = 90.0
    run = played(candles, "BHH", all_in(stop_loss=0.05))
    assert [(trade.row, trade.fill.order.reason) for trade in run.trades] == [(1, Reason.SIGNAL), (1, Reason.STOP_LOSS)]


def test_after_a_stop_the_next_buy_enters_again() -> None:
    candles = made_candles([100.0, 100.0, 100.0, 100.0, 100.0])
    candles.loc[candles.index[2], "low"] = 90.0
    run = played(candles, "BBBBB", all_in(stop_loss=0.05))
    assert [trade.row for trade in run.trades] == [1, 2, 3]


def test_the_kill_switch_refuses_every_entry() -> None:
    strict = all_in()
    stopped = Rules(strict.instrument, strict.costs, strict.policy, Limits(kill_switch=True))
    run = played(made_candles([100.0] * 5), "BBBBB", stopped)
    assert run.refusals_by_code() == {Code.KILL_SWITCH.value: 4}
    assert run.book.cash == CASH


def test_profits_are_those_of_the_ledger() -> None:
    run = played(random_candles(200, seed=5), "BHHSH" * 40, all_in())
    assert [trade.profit for trade in run.trades if trade.profit is not None] == run.profits
    assert sum(run.profits, CASH) == run.book.cash + run.book.entry_cost


def test_without_candles_nothing_happens() -> None:
    empty = made_candles([100.0]).iloc[:0]
    run = replay(empty, np.empty((0, 3)), np.empty(0), "1h", all_in(), CASH)
    assert (run.trades, run.book.cash, run.outcomes.size) == ([], CASH, 0)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_short_histories_are_played(rows: int) -> None:
    candles = made_candles([100.0] * rows)
    run = replay(candles, told(*"B" * rows), np.zeros(rows), "1h", all_in(), CASH)
    assert len(run.trades) == (1 if rows > 1 else 0)
    assert run.holdings.equity_array().size == rows


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(2, 119), rules=rules())
def test_what_comes_later_changes_nothing_before(seed: int, cut: int, rules: Rules) -> None:
    """Cut the history anywhere: outcomes and trades up to there stay, save the decision that now is the last."""
    market = market_frame(random_candles(WARM + 120, seed)).iloc[WARM:]
    probabilities, volatility = moody_probabilities(120, seed), market["volatility"].to_numpy()
    whole = replay(market, probabilities, volatility, "1h", rules, CASH)
    part = replay(market[:cut], probabilities[:cut], volatility[:cut], "1h", rules, CASH)
    assert part.outcomes[:-1].tolist() == whole.outcomes[: cut - 1].tolist()
    assert part.trades == [trade for trade in whole.trades if trade.row < cut]
    before = [whole.holdings.equity_at(row) for row in range(cut)]
    assert [part.holdings.equity_at(row) for row in range(cut)] == before
