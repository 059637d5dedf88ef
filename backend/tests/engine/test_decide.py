from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decide import (
    Close,
    Decision,
    choose,
    decide,
    decision_on,
    decision_payload,
    entry_size,
    position_size,
    risk_score,
)
from engine.ledger import Book
from engine.orders import NO_DECISION, Action
from engine.snapshot import Snapshot, market_frame, snapshot_at
from engine.terms import Policy
from tests.engine.accounts import NOON, book_holding
from tests.markets import random_candles

CASH = Decimal("10000.00")
FREE = Policy(confidence_threshold=0.0, stop_loss=None)


def snapshot(rows: int = 80) -> Snapshot:
    found = snapshot_at(market_frame(random_candles(rows, seed=1)), -1, "BTCUSDT", "1h")
    assert found is not None
    return found


def action_for(*probabilities: float, threshold: float = 0.0) -> tuple[int, float]:
    actions, confidence = choose(np.array([probabilities]), threshold)
    return int(actions[0]), float(confidence[0])


@pytest.mark.parametrize(
    ("probabilities", "threshold", "expected"),
    [
        ((0.2, 0.3, 0.5), 0.0, (Action.BUY, 0.5)),
        ((0.6, 0.3, 0.1), 0.0, (Action.SELL, 0.6)),
        ((0.2, 0.6, 0.2), 0.0, (Action.HOLD, 0.6)),
        ((0.2, 0.3, 0.5), 0.51, (Action.HOLD, 0.3)),
        ((0.2, 0.3, 0.5), 0.5, (Action.BUY, 0.5)),
        ((0.45, 0.1, 0.45), 0.0, (Action.HOLD, 0.1)),
        ((0.1, 0.45, 0.45), 0.0, (Action.HOLD, 0.45)),
    ],
)
def test_it_acts_on_the_likeliest_class_that_reaches_the_threshold(
    probabilities: tuple[float, ...], threshold: float, expected: tuple[int, float]
) -> None:
    assert action_for(*probabilities, threshold=threshold) == expected


def test_without_probabilities_there_is_no_decision() -> None:
    assert action_for(np.nan, np.nan, np.nan)[0] == NO_DECISION
    assert decide(snapshot(), np.full(3, np.nan), Book(CASH), CASH, FREE) is None


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=20), st.floats(0, 1))
def test_one_row_is_chosen_as_in_a_batch(rows: list[tuple[float, float, float]], threshold: float) -> None:
    actions, confidence = choose(np.array(rows), threshold)
    assert [action_for(*row, threshold=threshold) for row in rows] == list(
        zip(actions.tolist(), confidence.tolist(), strict=True)
    )


def test_doubt_and_noise_make_risk() -> None:
    policy = Policy(stop_loss=0.05)
    assert risk_score(1.0, 0.0, 100.0, policy) == 0.0
    assert risk_score(0.0, 0.0, 100.0, policy) == 0.5
    assert risk_score(1.0, 2.5, 100.0, policy) == 0.25
    assert risk_score(0.0, 50.0, 100.0, policy) == 1.0


def test_a_size_grows_with_equity_confidence_and_calm_and_never_exceeds_its_limits() -> None:
    policy = Policy(max_position=0.5, risk_per_trade=1.0, stop_loss=None)
    assert position_size(10_000, 10_000, 100, 1.0, 0.0, policy) == 50.0
    assert position_size(10_000, 10_000, 100, 0.5, 0.0, policy) == 25.0
    assert position_size(10_000, 10_000, 100, 1.0, 0.4, policy) == 30.0
    assert position_size(10_000, 1_000, 100, 1.0, 0.0, policy) == 9.9


def test_what_is_lost_at_the_stop_is_bounded() -> None:
    policy = Policy(max_position=1.0, risk_per_trade=0.01, stop_loss=0.05)
    size = position_size(10_000, 10_000, 100, 1.0, 0.0, policy)
    assert size * 100 * 0.05 == pytest.approx(100.0)


def test_a_fixed_quantity_replaces_the_sizing() -> None:
    assert entry_size(100, 1, 0.1, CASH, CASH, Policy(quantity=Decimal("0.5"))) == 0.5


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(1e-8, 1e6), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1))
def test_a_size_fits_cash_and_limit(
    equity: float, cash: float, price: float, confidence: float, risk: float, max_position: float
) -> None:
    size = position_size(equity, cash, price, confidence, risk, Policy(max_position=max_position))
    assert 0 <= size * price <= min(cash, equity * max_position) * (1 + 1e-12)


def test_a_sell_closes_what_is_held_and_a_second_buy_asks_for_nothing() -> None:
    close, book = Close("BTCUSDT", NOON, 100.0, 1.0), book_holding("1.5")
    assert decision_on(close, Action.SELL, 0.9, book, CASH, FREE).quantity == 1.5
    assert decision_on(close, Action.BUY, 0.9, book, CASH, FREE).quantity == 0.0
    assert decision_on(close, Action.HOLD, 0.9, book, CASH, FREE).quantity == 0.0
    assert decision_on(close, Action.SELL, 0.9, Book(CASH), CASH, FREE).quantity == 0.0


def test_the_payload_has_the_keys_of_the_specification() -> None:
    market = snapshot()
    made = decide(market, np.array([0.05, 0.1, 0.85]), Book(CASH), CASH, FREE)
    assert made is not None
    payload = decision_payload(made, market, "random_forest")
    assert set(payload) >= {
        "action", "ticker", "confidence", "reasoning", "quantity", "price", "risk_score", "model_type",
    }  # fmt: skip
    assert (payload["action"], payload["ticker"], payload["confidence"]) == ("BUY", "BTCUSDT", 0.85)
    assert payload["price"] == market.values["close"]


def test_the_reasoning_reads_as_in_the_specification() -> None:
    market = snapshot()
    told = {**market.values, "trend": 1.0, "rsi_state": -1.0, "rsi14": 25.3, "strength": 0.82}
    market = replace(market, values=told)
    made = Decision("BTCUSDT", NOON, Action.BUY, 0.85, 0.3, 1.0, 88500.0)
    assert decision_payload(made, market, "random_forest")["reasoning"] == (
        "BUY decision (confidence: 0.85). Trend: BULL. RSI oversold (25.3). Strong trend (strength: 0.82)"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence_threshold": 1.5},
        {"confidence_threshold": float("nan")},
        {"max_position": -0.1},
        {"stop_loss": 0.0},
        {"stop_loss": 1.0},
        {"trailing_stop": float("nan")},
        {"take_profit": float("inf")},
        {"quantity": Decimal(0)},
        {"cash_reserve": 2.0},
    ],
)
def test_a_policy_checks_itself(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Policy(**wrong)


@pytest.mark.parametrize("field", ["confidence", "risk_score", "quantity", "price"])
def test_a_decision_refuses_nan(field: str) -> None:
    numbers = {"confidence": 0.5, "risk_score": 0.5, "quantity": 1.0, "price": 1.0, field: float("nan")}
    with pytest.raises(ValueError, match=r"must be|needs"):
        Decision("BTCUSDT", NOON, Action.BUY, **numbers)
