from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from engine.account import buy, sell
from engine.fills import amount_paid, amount_received, buy_price, ceil_div, commission, sell_price
from engine.orders import BUY, EXECUTED, SELL, SIGNAL, Instrument
from engine.terms import Costs, Rules, terms_of
from tests.engine.accounts import BTC, account, costs, holding, instruments, terms
from tests.engine.oracle import down, up


def test_the_sample_of_the_specification_comes_out_exactly() -> None:
    """88500.00 at 0.1 % slippage and 0.1 % commission: 88588.50 and 88.59."""
    t = terms(BTC)
    _, _, event = buy(account(10_000_000), holding(0), 100_000, 8_850_000, t)
    assert (event.outcome, event.action, event.reason) == (EXECUTED, BUY, SIGNAL)
    assert (event.requested, event.price, event.amount, event.commission) == (8_850_000, 8_858_850, 8_858_850, 8859)


@given(instruments(), costs(), st.integers(1, 10**9), st.integers(1, 10**9))
def test_every_rounding_is_against_the_trader(instrument: Instrument, rates: Costs, tick: int, lots: int) -> None:
    t = terms_of(Rules(instrument, rates))
    money, lot, step = (Fraction(each) for each in (instrument.money_step, instrument.lot_step, instrument.price_tick))
    slippage, fee = Fraction(rates.slippage_rate), Fraction(rates.fee_rate)
    assert buy_price(tick, t) == up(tick * (1 + slippage), Fraction(1))
    assert sell_price(tick, t) == max(down(tick * (1 - slippage), Fraction(1)), 1)
    assert amount_paid(tick, lots, t) * money == up(tick * step * lots * lot, money)
    assert amount_received(tick, lots, t) * money == down(tick * step * lots * lot, money)
    assert commission(tick, lots, t) * money == up(tick * step * lots * lot * fee, money)


@given(st.integers(), st.integers(1))
def test_a_division_is_rounded_up(numerator: int, denominator: int) -> None:
    assert ceil_div(numerator, denominator) == -(-numerator // denominator)
    assert 0 <= ceil_div(numerator, denominator) * denominator - numerator < denominator


def test_a_seller_gets_one_tick_at_the_least() -> None:
    coin = Instrument("PEPEUSDT", price_tick=Decimal("0.00000001"), money_step=Decimal("0.00000001"))
    assert sell_price(1, terms(coin)) == 1


def test_dust_is_sold_for_no_more_commission_than_there_is_money() -> None:
    """A lot worth a hundredth of a cent brings nothing, and its commission is rounded up to a cent."""
    t = terms(BTC)
    for cash, paid in ((0, 0), (1, 1), (5, 1)):
        a, h, event = sell(account(cash), holding(1, mark=1000), 1, 1000, SIGNAL, t)
        assert (event.outcome, event.action, event.amount, event.commission) == (EXECUTED, SELL, 0, paid)
        assert (a.cash, a.commissions, h.lots) == (cash - paid, paid, 0)


def test_a_commission_is_charged_on_the_amount_before_it_is_rounded() -> None:
    """Two fifths of 2.5 cents are one cent; of the 3 cents that are paid they would be two."""
    halves = Instrument("X", lot_step=Decimal("0.5"))
    t = terms(halves, Costs(Decimal("0.4"), Decimal(0)))
    assert (amount_paid(5, 1, t), amount_received(5, 1, t), commission(5, 1, t)) == (3, 2, 1)
