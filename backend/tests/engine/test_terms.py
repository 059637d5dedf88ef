from decimal import Decimal
from fractions import Fraction
from math import inf

import pytest
from hypothesis import given

from engine.orders import Instrument
from engine.terms import FLOAT_TERMS, OFF, REFERENCE_STOP, Costs, Limits, Policy, Rules, Terms, terms_of
from tests.engine.accounts import rules


def ratio(terms: Terms, name: str) -> Fraction:
    return Fraction(getattr(terms, f"{name}_n"), getattr(terms, f"{name}_d"))


def written(fraction: object) -> Fraction:
    return Fraction(str(fraction)) if fraction is not None else Fraction(0)


@given(rules())
def test_terms_are_the_rules_as_exact_ratios(stated: Rules) -> None:
    terms, instrument, policy, limits = terms_of(stated), stated.instrument, stated.policy, stated.limits
    steps = (Fraction(step) for step in (instrument.price_tick, instrument.lot_step, instrument.money_step))
    tick, lot, money = steps
    assert ratio(terms, "unit") == tick * lot / money
    for name, stated_fraction in {
        "slippage": stated.costs.slippage_rate,
        "fee": stated.costs.fee_rate,
        "stop": policy.stop_loss,
        "target": policy.take_profit,
        "trail": policy.trailing_stop,
        "position": limits.max_position,
        "exposure": limits.max_exposure,
        "daily_loss": limits.max_daily_loss,
        "drawdown": limits.max_drawdown,
    }.items():
        assert ratio(terms, name) == written(stated_fraction), name
    assert terms.max_entries == (OFF if limits.max_entries_per_day is None else limits.max_entries_per_day)
    assert terms.max_open == (OFF if limits.max_open_positions is None else limits.max_open_positions)
    assert terms.kill_switch == limits.kill_switch
    assert terms.stop_fills_at_low == policy.stop_fills_at_low
    assert terms.fixed_lots == (OFF if policy.quantity is None else instrument.lots(policy.quantity))
    assert terms.max_age == (inf if limits.max_quote_age_seconds is None else limits.max_quote_age_seconds)
    assert terms.stop_distance == (policy.stop_loss or REFERENCE_STOP)
    assert (terms.max_position, terms.risk_per_trade, terms.cash_reserve) == (
        policy.max_position, policy.risk_per_trade, policy.cash_reserve,
    )  # fmt: skip
    assert (terms.largest_lots, terms.largest_money) == (inf, inf)
    assert all(isinstance(value, float) == (name in FLOAT_TERMS) for name, value in terms._asdict().items())


def test_steps_that_no_decimal_divides_stay_exact() -> None:
    thirds = Instrument("X", price_tick=Decimal(1), lot_step=Decimal(1), money_step=Decimal("0.03"))
    assert ratio(terms_of(Rules(thirds)), "unit") == Fraction(100, 3)


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_position": Decimal(0)},
        {"max_position": Decimal("1.1")},
        {"max_exposure": Decimal(0)},
        {"max_exposure": Decimal("1.1")},
        {"max_drawdown": Decimal(0)},
        {"max_daily_loss": Decimal(-1)},
        {"max_entries_per_day": -1},
        {"max_open_positions": -1},
        {"max_quote_age_seconds": float("nan")},
    ],
)
def test_limits_check_themselves(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)


@pytest.mark.parametrize("rate", ["-0.1", "1", "NaN"])
def test_costs_are_fractions(rate: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        Costs(fee_rate=Decimal(rate))
