from datetime import datetime
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fills import execution_report, fill
from engine.orders import Action, Code, Fill, Instrument, Order, Quote, Reason, Refusal
from engine.terms import Costs
from tests.engine.accounts import BTC, NOON, costs, filled, instruments, order


def test_the_sample_of_the_specification_comes_out_exactly() -> None:
    report = execution_report(filled(Action.BUY, "1", "88500.00"), Action.BUY, "BTCUSDT", "order_123456", NOON)
    assert report == {
        "status": "executed",
        "order_id": "order_123456",
        "ticker": "BTCUSDT",
        "action": "BUY",
        "quantity": 1,
        "requested_price": 88500.00,
        "executed_price": 88588.50,
        "commission": 88.59,
        "slippage": 88.50,
        "timestamp": "2024-12-07T12:00:00Z",
        "message": "Trade executed successfully",
        "reason_code": "signal",
    }


def test_the_sample_is_exact_in_decimal_too() -> None:
    bought = filled(Action.BUY, "1", "88500.00")
    found = [str(number) for number in (bought.price, bought.commission, bought.slippage, bought.amount)]
    assert found == ["88588.50", "88.59", "88.50", "88588.50"]


def test_a_refusal_is_reported_with_its_code() -> None:
    refusal = Refusal(Code.KILL_SWITCH, "the kill switch is on: no entries")
    report = execution_report(refusal, Action.BUY, "BTCUSDT", "order_1", NOON)
    assert (report["status"], report["reason_code"], report["executed_price"]) == ("rejected", "kill_switch", None)


@pytest.mark.parametrize("code", [Code.HOLD, Code.NO_POSITION, Code.POSITION_OPEN])
def test_nothing_to_do_is_skipped_and_not_rejected(code: Code) -> None:
    assert execution_report(Refusal(code, ""), Action.HOLD, "BTCUSDT", "order_1", NOON)["status"] == "skipped"


@given(
    st.sampled_from([Action.BUY, Action.SELL]),
    st.decimals("0.00001", "1000", places=5),
    st.decimals("0.5", "100000", places=2),
    instruments(),
    costs(),
)
def test_every_rounding_is_against_the_trader(
    action: Action, quantity: Decimal, price: Decimal, instrument: Instrument, costs: Costs
) -> None:
    done = fill(Order("BTCUSDT", action, quantity, price), instrument, costs, NOON)
    moved = price * (1 + costs.slippage_rate if action is Action.BUY else 1 - costs.slippage_rate)
    worse = (
        (done.price >= moved) if action is Action.BUY else (done.price <= moved or done.price == instrument.price_tick)
    )
    assert worse
    assert abs(done.price - moved) < instrument.price_tick
    paid = done.amount - done.price * quantity
    assert 0 <= (paid if action is Action.BUY else -paid) < instrument.money_step
    assert 0 <= done.commission - done.price * quantity * costs.fee_rate < instrument.money_step
    assert done.price % instrument.price_tick == 0
    assert done.amount % instrument.money_step == 0


def test_a_seller_gets_one_tick_at_the_least() -> None:
    coin = Instrument("PEPEUSDT", price_tick=Decimal("0.00000001"), money_step=Decimal("0.00000001"))
    sold = fill(order(Action.SELL, "1000", "0.00000001"), coin, Costs(), NOON)
    assert sold.price == Decimal("0.00000001")


@pytest.mark.parametrize(("step", "mode"), list(product(["0.05", "0.25", "0.5", "2", "10"], ["up", "down"])))
def test_ticks_that_are_no_power_of_ten_are_kept(step: str, mode: str) -> None:
    grid = Instrument("FUTURE", price_tick=Decimal(step))
    rounded = (grid.tick_up if mode == "up" else grid.tick_down)(Decimal("101.13"))
    assert rounded % Decimal(step) == 0
    assert abs(rounded - Decimal("101.13")) < Decimal(step)
    assert (rounded > Decimal("101.13")) == (mode == "up")


def test_it_refuses_a_naive_datetime() -> None:
    with pytest.raises(ValueError, match="aware"):
        Fill(order(), datetime(2024, 1, 1), *[Decimal(1)] * 4)  # noqa: DTZ001


@pytest.mark.parametrize("price", ["0", "-1", "NaN"])
def test_it_refuses_a_quote_without_a_price(price: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        Quote(Decimal(price))


def test_an_order_cannot_hold() -> None:
    with pytest.raises(ValueError, match="HOLD"):
        order(Action.HOLD)


@pytest.mark.parametrize("quantity", ["0", "-1", "NaN"])
def test_an_order_needs_a_quantity(quantity: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        Order("BTCUSDT", Action.BUY, Decimal(quantity), Decimal(1), Reason.MANUAL)


@pytest.mark.parametrize("rate", ["-0.1", "1", "NaN"])
def test_costs_are_fractions(rate: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        Costs(fee_rate=Decimal(rate))


def test_the_instrument_of_the_tests_rounds_to_cents() -> None:
    assert str(BTC.price(88500.123)) == "88500.12"
