from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fills import fill
from engine.ledger import Book, apply
from engine.orders import Action, Code, Instrument, Order, Quote, Reason, Refusal
from engine.risk import Standing, gate
from engine.terms import Costs, Limits, Policy, Rules
from tests.engine.accounts import BTC, NOON, book_holding, decision, rules, standing

CASH = Decimal("10000.00")
QUOTE = Quote(Decimal("100.00"))


def answer(
    made=None, *, book: Book | None = None, at: Standing | None = None, quote: Quote = QUOTE, **limits: object
) -> Order | Refusal:
    limited = Limits(**{"max_position": Decimal(1), **limits})
    return gate(made or decision(), book or Book(CASH), at or standing(), quote, Rules(BTC, Costs(), Policy(), limited))


def code(result: Order | Refusal) -> Code:
    assert isinstance(result, Refusal)
    assert result.detail
    return result.code


def test_a_decision_within_all_limits_becomes_an_order_on_the_grid() -> None:
    assert answer(decision(quantity=1.234567)) == Order("BTCUSDT", Action.BUY, Decimal("1.23456"), QUOTE.price)


def test_hold_is_skipped() -> None:
    result = answer(decision(Action.HOLD, quantity=0.0))
    assert code(result) is Code.HOLD
    assert isinstance(result, Refusal)
    assert result.skipped


def test_a_second_entry_is_skipped() -> None:
    assert code(answer(decision(quantity=0.0), book=book_holding("1"))) is Code.POSITION_OPEN


def test_a_sale_without_a_position_is_skipped() -> None:
    assert code(answer(decision(Action.SELL, quantity=0.0))) is Code.NO_POSITION


def test_selling_more_than_is_held_is_refused() -> None:
    assert code(answer(decision(Action.SELL, quantity=2.0), book=book_holding("1"))) is Code.EXCEEDS_POSITION


def test_part_of_a_position_can_be_sold() -> None:
    result = answer(decision(Action.SELL, quantity=0.25), book=book_holding("1"))
    assert result == Order("BTCUSDT", Action.SELL, Decimal("0.25000"), QUOTE.price)


def test_all_of_a_position_is_sold_even_where_a_float_cannot_say_it() -> None:
    quantity = "12345678901234.56789"
    book = book_holding(quantity, price="0.01", cash="999999999999.00")
    result = answer(decision(Action.SELL, quantity=float(quantity)), book=book)
    assert isinstance(result, Order)
    assert result.quantity == Decimal(quantity)


@pytest.mark.parametrize(
    ("limits", "at", "quote", "quantity", "expected"),
    [
        ({"kill_switch": True}, None, QUOTE, 1.0, Code.KILL_SWITCH),
        ({"max_quote_age_seconds": 60.0}, None, Quote(QUOTE.price, 61.0), 1.0, Code.STALE_QUOTE),
        ({"max_drawdown": Decimal("0.1")}, standing("8999.99", peak="10000"), QUOTE, 1.0, Code.DRAWDOWN_LIMIT),
        (
            {"max_daily_loss": Decimal("0.02")},
            standing("9799.99", day_start="10000"),
            QUOTE,
            1.0,
            Code.DAILY_LOSS_LIMIT,
        ),
        ({"max_entries_per_day": 3}, standing(entries=3), QUOTE, 1.0, Code.ENTRIES_PER_DAY),
        ({"max_open_positions": 0}, None, QUOTE, 1.0, Code.OPEN_POSITIONS),
        ({"max_position": Decimal("0.01")}, None, QUOTE, 1.1, Code.POSITION_LIMIT),
        ({}, None, QUOTE, 0.000009, Code.QUANTITY_TOO_SMALL),
        ({}, standing("99999999"), QUOTE, 101.0, Code.INSUFFICIENT_CASH),
    ],
)
def test_each_limit_refuses_an_entry_with_its_code(
    limits: dict[str, object], at: Standing | None, quote: Quote, quantity: float, expected: Code
) -> None:
    assert code(answer(decision(quantity=quantity), at=at, quote=quote, **limits)) is expected


def test_the_least_notional_of_the_venue_counts() -> None:
    picky = Rules(Instrument("BTCUSDT", minimum_notional=Decimal(200)), limits=Limits(max_position=Decimal(1)))
    assert code(gate(decision(), Book(CASH), standing(), QUOTE, picky)) is Code.NOTIONAL_TOO_SMALL


@pytest.mark.parametrize(
    ("limits", "at", "quote"),
    [
        ({"max_quote_age_seconds": 60.0}, None, Quote(QUOTE.price, 60.0)),
        ({"max_drawdown": Decimal("0.1")}, standing("9000.00", peak="10000"), QUOTE),
        ({"max_daily_loss": Decimal("0.02")}, standing("9800.00", day_start="10000"), QUOTE),
        ({"max_entries_per_day": 3}, standing(entries=2), QUOTE),
        ({"max_open_positions": 1}, None, QUOTE),
        ({"max_position": Decimal("0.01")}, None, QUOTE),
    ],
)
def test_a_limit_that_is_just_kept_refuses_nothing(
    limits: dict[str, object], at: Standing | None, quote: Quote
) -> None:
    assert isinstance(answer(at=at, quote=quote, **limits), Order)


def test_no_limit_holds_up_an_exit() -> None:
    strict = {"kill_switch": True, "max_quote_age_seconds": 0.0, "max_entries_per_day": 0, "max_open_positions": 0}
    ruined = standing("1.00", peak="10000", day_start="10000", entries=9)
    result = answer(
        decision(Action.SELL, quantity=1.0), book=book_holding("1"), at=ruined, quote=Quote(QUOTE.price, 9e9), **strict
    )
    assert result == Order("BTCUSDT", Action.SELL, Decimal(1), QUOTE.price, Reason.SIGNAL)


@given(rules(), st.floats(0, 1e5), st.decimals("0.01", "100000", places=2), st.decimals(0, "100000", places=2))
def test_what_passes_the_gate_can_be_paid(rules: Rules, quantity: float, price: Decimal, cash: Decimal) -> None:
    book = Book(cash)
    at = Standing(cash, cash, cash)
    result = gate(decision(quantity=quantity), book, at, Quote(rules.instrument.price(float(price))), rules)
    if isinstance(result, Order):
        after = apply(book, fill(result, rules.instrument, rules.costs, NOON))
        assert after.cash >= 0
        assert result.quantity * result.price <= cash * rules.limits.max_position
        assert result.quantity % rules.instrument.lot_step == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_position": Decimal(0)},
        {"max_position": Decimal("1.1")},
        {"max_drawdown": Decimal(0)},
        {"max_daily_loss": Decimal(-1)},
        {"max_entries_per_day": -1},
        {"max_quote_age_seconds": float("nan")},
    ],
)
def test_limits_check_themselves(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)
