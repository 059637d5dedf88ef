from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decide import choose, decision_payload, proposed_lots, reasoning, risk_score
from engine.ledger import FLAT
from engine.orders import BUY, HOLD, NO_DECISION, SELL, Action
from engine.snapshot import Snapshot, market_frame, snapshot_at
from engine.terms import OFF, Rules, Terms, terms_of
from tests.engine.accounts import BTC, CASH, account, holding, rules, terms
from tests.markets import random_candles


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


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=20), st.floats(0, 1))
def test_one_row_is_chosen_as_in_a_batch(rows: list[tuple[float, float, float]], threshold: float) -> None:
    actions, confidence = choose(np.array(rows), threshold)
    assert [action_for(*row, threshold=threshold) for row in rows] == list(
        zip(actions.tolist(), confidence.tolist(), strict=True)
    )


def test_doubt_and_noise_make_risk() -> None:
    assert risk_score(1.0, 0.0, 0.05) == 0.0
    assert risk_score(0.0, 0.0, 0.05) == 0.5
    assert risk_score(1.0, 0.025, 0.05) == 0.25
    assert risk_score(0.0, 0.5, 0.05) == 1.0


def size(t: Terms, cash: int = CASH, worth: int = 0, confidence: float = 1.0, noise: float = 0.0) -> int:
    """The lots that a BUY asks for at a close of 100.00."""
    return proposed_lots(account(cash, worth=worth), FLAT, BUY, 10_000, confidence, noise, t)


def test_a_size_grows_with_equity_confidence_and_calm_and_never_exceeds_its_limits() -> None:
    t = terms(max_position=0.5, risk_per_trade=1.0)
    assert size(t) == 50
    # Half as sure, and half of the doubt is risk: a half of three quarters.
    assert size(t, confidence=0.5) == 18
    # Noise of four fifths of the reference stop: two fifths of risk.
    assert size(t, noise=0.04) == 30
    assert size(t, cash=CASH // 10, worth=9 * CASH // 10) == 9
    assert size(t, cash=CASH // 2, worth=CASH // 2) == 49
    assert size(terms(max_position=0.5, risk_per_trade=1.0, cash_reserve=0.0), CASH // 2, CASH // 2) == 50


def test_what_is_lost_at_the_stop_is_bounded() -> None:
    t = terms(max_position=1.0, risk_per_trade=0.01, stop_loss=0.05)
    # 20 lots lose 100.00, which is one percent of 10,000.00, at a stop five percent below 100.00.
    assert size(t) == 20


def test_without_a_stop_risk_is_measured_against_the_reference() -> None:
    assert size(terms(max_position=1.0, risk_per_trade=0.01)) == 20


def test_a_fixed_quantity_replaces_the_sizing() -> None:
    t = terms(BTC, quantity=Decimal("0.500009"))
    assert size(t, cash=0, confidence=0.1, noise=1.0) == 50_000


def test_a_fixed_quantity_keeps_its_digits_where_a_float_would_not() -> None:
    assert size(terms(BTC, quantity=Decimal("12345678901234.56789"))) == 1_234_567_890_123_456_789


def test_more_lots_than_64_bits_can_compute_with_are_refused() -> None:
    fixed, sized = terms(quantity=Decimal(11)), terms(max_position=1.0, risk_per_trade=1.0)
    for t, wanted in ((fixed, 11), (sized, 99)):
        assert size(t._replace(largest_lots=float(wanted))) == wanted
        assert size(t._replace(largest_lots=wanted - 0.5)) == OFF


@given(rules(), st.integers(0, 10**14), st.integers(0, 10**14), st.integers(1, 10**9), st.floats(0, 1), st.floats(0, 1))
def test_a_size_is_the_rule_in_exact_numbers(
    stated: Rules, cash: int, worth: int, close: int, confidence: float, noise: float
) -> None:
    t, policy = terms_of(stated), stated.policy
    found = proposed_lots(account(cash, worth=worth), FLAT, BUY, close, confidence, noise, t)
    if policy.quantity is not None:
        assert found == policy.quantity // stated.instrument.lot_step
        return
    stop = Fraction(policy.stop_loss or 0.05)
    risk = (1 - Fraction(confidence)) / 2 + min(Fraction(noise) / stop, 1) / 2
    money = min(
        (cash + worth) * Fraction(policy.max_position) * Fraction(confidence) * (1 - risk),
        (cash + worth) * Fraction(policy.risk_per_trade) / stop,
        cash * (1 - Fraction(policy.cash_reserve)),
    )
    exactly = money * t.unit_d / (close * t.unit_n)
    # 1 - risk is a float near 1 less one: its last digit is lost where there is next to nothing but risk.
    in_lots = (cash + worth) * Fraction(confidence) * t.unit_d / (close * t.unit_n)
    slack = exactly / 10**12 + in_lots / 10**15
    assert exactly - slack - 1 < found <= exactly + slack
    assert 0 <= found * close * t.unit_n <= min(cash, (cash + worth) * policy.max_position) * t.unit_d * (1 + 1e-12)


def test_a_sell_closes_what_is_held_and_a_second_buy_asks_for_nothing() -> None:
    a, h, t = account(), holding(15), terms()
    assert proposed_lots(a, h, SELL, 10_000, 0.9, 0.0, t) == 15
    assert proposed_lots(a, h, BUY, 10_000, 0.9, 0.0, t) == 0
    assert proposed_lots(a, h, HOLD, 10_000, 0.9, 0.0, t) == 0
    assert proposed_lots(a, FLAT, SELL, 10_000, 0.9, 0.0, t) == 0
    assert proposed_lots(a, FLAT, HOLD, 10_000, 0.9, 0.0, t) == 0


def test_the_payload_has_the_keys_of_the_specification() -> None:
    market = snapshot()
    words = reasoning(Action.BUY, 0.85, market)
    payload = decision_payload(Action.BUY, 0.85, 0.2, Decimal("1.5"), words, market, "random_forest")
    assert payload == {
        "action": "BUY",
        "ticker": "BTCUSDT",
        "confidence": 0.85,
        "reasoning": words,
        "quantity": 1.5,
        "price": market.values["close"],
        "risk_score": 0.2,
        "model_type": "random_forest",
    }


def test_the_reasoning_reads_as_in_the_specification() -> None:
    market = snapshot()
    values = {**market.values, "trend": 1.0, "rsi_state": -1.0, "rsi14": 25.3, "strength": 0.82}
    assert reasoning(Action.BUY, 0.85, replace(market, values=values)) == (
        "BUY decision (confidence: 0.85). Trend: BULL. RSI oversold (25.3). Strong trend (strength: 0.82)"
    )
