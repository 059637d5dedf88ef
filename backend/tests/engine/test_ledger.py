from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fills import fill
from engine.ledger import Book, LedgerError, Position, apply
from engine.orders import Action, Fill, Instrument, Order
from engine.terms import Costs
from tests.engine.accounts import NOON, book_holding, costs, filled, instruments

CASH = Decimal("10000.00")


def test_a_round_trip_pays_each_fee_once() -> None:
    bought = filled(Action.BUY, "2", "100.00")
    sold = filled(Action.SELL, "2", "110.00")
    book = apply(apply(Book(CASH), bought), sold)
    # 2 x 100.10 + 0.21 paid, 2 x 109.89 - 0.22 received.
    assert book.cash == CASH - Decimal("200.20") - Decimal("0.21") + Decimal("219.78") - Decimal("0.22")
    assert book.realised == book.cash - CASH
    assert book.commissions == Decimal("0.43")
    assert book.positions == {}


def test_a_position_that_grows_averages_its_entry_price() -> None:
    book = apply(apply(Book(CASH), filled(Action.BUY, "1", "100.00")), filled(Action.BUY, "3", "200.00"))
    assert book.positions["BTCUSDT"].entry_price == (Decimal("100.10") + 3 * Decimal("200.20")) / 4
    assert book.quantity("BTCUSDT") == 4


def test_a_partial_sale_leaves_the_rest_of_the_cost() -> None:
    book = apply(book_holding("3"), filled(Action.SELL, "1", "100.00"))
    position = book.positions["BTCUSDT"]
    assert position.quantity == 2
    assert book.cash + position.cost - book.realised == CASH


def test_it_cannot_spend_more_than_there_is() -> None:
    with pytest.raises(LedgerError, match="cash would be"):
        apply(Book(Decimal("50.00")), filled(Action.BUY, "1", "100.00"))


@pytest.mark.parametrize("held", ["0", "0.5"])
def test_it_cannot_sell_more_than_is_held(held: str) -> None:
    book = Book(CASH) if held == "0" else book_holding(held)
    with pytest.raises(LedgerError, match="cannot sell"):
        apply(book, filled(Action.SELL, "1", "100.00"))


def test_equity_needs_a_price_for_every_position() -> None:
    with pytest.raises(KeyError):
        book_holding("1").equity({})


def test_equity_is_cash_and_positions_at_the_marks() -> None:
    book = book_holding("2")
    assert book.equity({"BTCUSDT": Decimal("150.5")}) == book.cash + Decimal("301.0")


def test_a_position_is_long() -> None:
    with pytest.raises(ValueError, match="long"):
        Position("BTCUSDT", Decimal(0), Decimal(1), Decimal(1), NOON)


trades = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BBB"]),
        st.sampled_from([Action.BUY, Action.SELL]),
        st.decimals("0.00001", "500", places=5),
        st.decimals("0.01", "500", places=2),
    ),
    max_size=40,
)


@given(trades, instruments(), costs())
def test_the_identity_holds_to_the_last_digit(
    trades: list[tuple[str, Action, Decimal, Decimal]], instrument: Instrument, costs: Costs
) -> None:
    """Initial cash + realised profit = free cash + entry cost of open positions, whatever is tried."""
    book, fees = Book(CASH), Decimal(0)
    for symbol, action, quantity, price in trades:
        done: Fill = fill(Order(symbol, action, quantity, price), instrument, costs, NOON)
        try:
            book = apply(book, done)
        except LedgerError:
            continue
        fees += done.commission
        assert CASH + book.realised == book.cash + book.entry_cost
        assert book.cash >= 0
    assert book.commissions == fees
    assert all(position.quantity > 0 for position in book.positions.values())


@given(trades, instruments(), costs())
def test_selling_all_leaves_cash_alone(
    trades: list[tuple[str, Action, Decimal, Decimal]], instrument: Instrument, costs: Costs
) -> None:
    book = Book(CASH)
    for symbol, action, quantity, price in trades:
        try:
            book = apply(book, fill(Order(symbol, action, quantity, price), instrument, costs, NOON))
        except LedgerError:
            continue
    for position in list(book.positions.values()):
        sale = Order(position.symbol, Action.SELL, position.quantity, Decimal(100))
        book = apply(book, fill(sale, instrument, costs, NOON))
    assert book.positions == {}
    assert book.cash == CASH + book.realised
