from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from engine.account import Event, buy, sell
from engine.fills import amount_received
from engine.ledger import FLAT, Books, Holding, bought, marked, sold
from engine.orders import SIGNAL, Instrument
from engine.terms import Costs, Rules, terms_of
from tests.engine.accounts import CASH, account, costs, instruments, terms


def buying(a: Books, h: Holding, lots: int, tick: int, **policy: float) -> tuple[Books, Holding, Event]:
    return buy(a, h, lots, tick, terms(**policy))


def selling(a: Books, h: Holding, lots: int, tick: int) -> tuple[Books, Holding, Event]:
    return sell(a, h, lots, tick, SIGNAL, terms())


def test_a_round_trip_pays_each_fee_once() -> None:
    a, h, _ = buying(account(), FLAT, 2, 10_000)
    a, h, event = selling(a, h, 2, 11_000)
    # 2 x 100.10 + 0.21 paid, 2 x 109.89 - 0.22 received.
    assert a.cash == CASH - 20_020 - 21 + 21_978 - 22
    assert a.realised == event.profit == a.cash - CASH
    assert event.cost == 20_041
    assert a.commissions == 43
    assert (h, a.worth, a.open_positions, a.entries) == (FLAT, 0, 0, 1)


def test_a_purchase_on_top_adds_its_cost_replaces_the_levels_and_keeps_the_high() -> None:
    levels = {"stop_loss": 0.1, "take_profit": 0.2, "trailing_stop": 0.05}
    a, h, _ = buying(account(), FLAT, 1, 10_000, **levels)
    assert h == Holding(1, 10_021, 10_010, stop=9009, target=12_012, trail_n=1, trail_d=20, high=10_010)
    h = h._replace(high=15_000)
    a, h = marked(a, h, 14_000, terms())
    a, h, _ = buying(a, h, 3, 20_000, stop_loss=0.2, trailing_stop=0.1)
    # 3 x 200.20 and 0.61 of commission; valued at the last mark still, which the market has seen.
    assert h == Holding(4, 10_021 + 60_060 + 61, 14_000, stop=16_016, target=0, trail_n=1, trail_d=10, high=15_000)
    assert (a.worth, a.open_positions, a.entries) == (4 * 14_000, 1, 2)
    assert a.cash == CASH - h.cost


def test_a_partial_sale_takes_its_share_of_the_cost_and_leaves_the_rest() -> None:
    a, h, _ = buying(account(), FLAT, 3, 10_000, stop_loss=0.1)
    assert h.cost == 30_061
    a, h, event = selling(a, h, 1, 10_000)
    # A third of 300.61 is 100.20 and a third of a cent; 99.90 - 0.10 received.
    assert (event.cost, event.amount, event.commission, event.profit) == (10_020, 9990, 10, 9990 - 10 - 10_020)
    assert (h.lots, h.cost, h.stop, h.mark) == (2, 20_041, 9009, 10_010)
    assert (a.worth, a.open_positions, a.realised) == (2 * 10_010, 1, event.profit)
    assert a.cash + h.cost - a.realised == CASH
    # Half of 200.41 is half a cent too much: to the even one.
    a, h, event = selling(a, h, 1, 10_000)
    assert (event.cost, h.cost) == (10_020, 10_021)
    a, h, event = selling(a, h, 1, 10_000)
    assert (event.cost, h, a.open_positions) == (10_021, FLAT, 0)
    assert a.cash - a.realised == CASH


@given(st.integers(1, 10**15), st.integers(2, 10**9), st.data())
def test_a_share_of_the_cost_is_rounded_half_to_even(cost: int, held: int, data: st.DataObject) -> None:
    lots = data.draw(st.integers(1, held - 1))
    h = Holding(held, cost, 1, 0, 0, 0, 1, 1)
    _, rest, _, share = sold(account(), h, lots, 0, 0, terms())
    assert share == round(Fraction(cost * lots, held))
    assert rest.cost == cost - share


def test_a_valuation_moves_the_mark_and_the_peak() -> None:
    a, h, _ = buying(account(), FLAT, 10, 10_000)
    a, h = marked(a, h, 12_000, terms())
    assert (h.mark, a.worth, a.peak) == (12_000, 120_000, a.cash + 120_000)
    a, h = marked(a, h, 11_000, terms())
    assert (h.mark, a.worth, a.peak) == (11_000, 110_000, a.cash + 120_000)


def test_a_position_is_worth_whole_money_steps_at_its_mark() -> None:
    fine = Instrument("X", price_tick=Decimal("0.05"), lot_step=Decimal("0.025"))
    t = terms(fine)
    a, h, _ = buy(account(), FLAT, 3, 2023, t)
    a, h = marked(a, h, 2023, t)
    # 0.075 at 101.15 are 7.58625.
    assert a.worth == 758


@given(
    st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.integers(1, 10**7), st.integers(1, 10**6)), max_size=40),
    instruments(),
    costs(),
)
def test_the_identity_holds_to_the_last_digit(
    trades: list[tuple[int, bool, int, int]], instrument: Instrument, rates: Costs
) -> None:
    """Initial cash + realised profit = free cash + entry cost of open positions; worth is the sum at the marks."""
    t = terms_of(Rules(instrument, rates))
    a, held, fees = account(), [FLAT, FLAT], 0
    for k, buys, lots, tick in trades:
        if buys:
            after, h, event = buy(a, held[k], lots, tick, t)
            if after.cash < 0:
                continue
        elif held[k].lots:
            after, h, event = sell(a, held[k], min(lots, held[k].lots), tick, SIGNAL, t)
        else:
            continue
        a, held[k], fees = after, h, fees + event.commission
        assert a.cash >= 0
        assert CASH + a.realised == a.cash + held[0].cost + held[1].cost
        assert a.worth == sum(amount_received(h.mark, h.lots, t) for h in held)
        assert a.open_positions == sum(h.lots > 0 for h in held)
        assert a.commissions == fees
    for k in (0, 1):
        if held[k].lots:
            a, held[k], _ = sell(a, held[k], held[k].lots, 100, SIGNAL, t)
    assert (held, a.worth, a.open_positions) == ([FLAT, FLAT], 0, 0)
    assert a.cash == CASH + a.realised


def test_nothing_but_a_fill_changes_the_books() -> None:
    a, h = bought(account(), FLAT, 1, 100, 100, 0, terms())
    assert sold(a, h, 1, 100, 0, terms())[:2] == (account()._replace(entries=1), FLAT)
