from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.account import at_open
from engine.ledger import FLAT, Books, Holding, opened
from engine.orders import BUY, EXECUTED, HOLD, NOTHING_TO_DO, OUTCOMES, SELL, Code, Instrument, Reason
from engine.risk import refusal_text
from engine.terms import Limits, Policy, Rules, Terms, terms_of
from tests.engine.accounts import BTC, CENTS, account, holding, rules

TICK = 10_000
"""100.00 at a tick of a cent."""


def limited(instrument: Instrument = CENTS, **limits: Any) -> Terms:
    return terms_of(Rules(instrument, policy=Policy(), limits=Limits(**{"max_position": Decimal(1), **limits})))


def refusal(
    a: Books, h: Holding, lots: int, t: Terms, action: int = BUY, age: float = 0.0, tick: int = TICK
) -> Code | None:
    after, held, event = at_open(a, h, action, lots, tick, a.day, age, t)
    if event.outcome == EXECUTED:
        return None
    assert (after, held, event[1:]) == (a, h, (HOLD, 0, 0, 0, 0, 0, 0, 0, 0))
    return Code(OUTCOMES[event.outcome])


def holder(lots: int) -> tuple[Books, Holding]:
    """An account with so many lots at 100.00."""
    return account(worth=lots * TICK, open_positions=1, peak=0, day_start=0), holding(lots)


def test_what_is_within_all_limits_is_bought() -> None:
    _, h, event = at_open(account(), FLAT, BUY, 12, TICK, 0, 0.0, limited())
    assert (event.outcome, event.lots, event.requested, h.lots) == (EXECUTED, 12, TICK, 12)


def test_hold_is_skipped() -> None:
    assert refusal(account(), FLAT, 0, limited(), HOLD) is Code.HOLD
    assert Code.HOLD in NOTHING_TO_DO


def test_a_second_entry_is_skipped() -> None:
    assert refusal(*holder(1), 0, limited()) is Code.POSITION_OPEN


def test_more_can_be_bought_on_top() -> None:
    assert refusal(*holder(1), 1, limited()) is None


def test_a_sale_without_a_position_is_skipped() -> None:
    assert refusal(account(), FLAT, 0, limited(), SELL) is Code.NO_POSITION


def test_selling_more_than_is_held_is_refused() -> None:
    assert refusal(*holder(1), 2, limited(), SELL) is Code.EXCEEDS_POSITION


def test_selling_less_than_a_lot_is_refused() -> None:
    assert refusal(*holder(1), 0, limited(), SELL) is Code.QUANTITY_TOO_SMALL


def test_part_of_a_position_can_be_sold() -> None:
    a, h = holder(4)
    _, rest, event = at_open(a, h, SELL, 1, TICK, 0, 0.0, limited())
    assert (event.outcome, event.lots, rest.lots, rest.cost) == (EXECUTED, 1, 3, 3 * TICK)


def test_all_of_a_position_is_sold_even_where_a_float_cannot_say_it() -> None:
    lots = 1_234_567_890_123_456_789
    assert int(float(lots)) != lots
    _, h, event = at_open(account(), holding(lots, mark=1), SELL, lots, 1, 0, 0.0, limited())
    assert (event.lots, h) == (lots, FLAT)


# Of each pair, the first is refused and the second is not: the limit is just kept.
EDGES: list[tuple[Code, dict[str, Any], Books, Books, int, int, float, float]] = [
    (Code.STALE_QUOTE, {"max_quote_age_seconds": 60.0}, account(), account(), 1, 1, 61.0, 60.0),
    (
        Code.DRAWDOWN_LIMIT, {"max_drawdown": Decimal("0.1")},
        account(899_999, peak=10**6), account(900_000, peak=10**6), 1, 1, 0.0, 0.0,
    ),
    (
        Code.DAILY_LOSS_LIMIT, {"max_daily_loss": Decimal("0.02")},
        account(979_999, day_start=10**6), account(980_000, day_start=10**6), 1, 1, 0.0, 0.0,
    ),
    (Code.ENTRIES_PER_DAY, {"max_entries_per_day": 3}, account(entries=3), account(entries=2), 1, 1, 0.0, 0.0),
    (
        Code.OPEN_POSITIONS, {"max_open_positions": 2},
        account(open_positions=2), account(open_positions=1), 1, 1, 0.0, 0.0,
    ),
    (Code.POSITION_LIMIT, {"max_position": Decimal("0.01")}, account(999_999), account(10**6), 1, 1, 0.0, 0.0),
    (
        Code.EXPOSURE_LIMIT, {"max_exposure": Decimal("0.5")},
        account(10**6, worth=999_999), account(10**6, worth=980_000), 2, 1, 0.0, 0.0,
    ),
    (Code.QUANTITY_TOO_SMALL, {}, account(), account(), 0, 1, 0.0, 0.0),
    # 100.10 and 0.11 of commission.
    (Code.INSUFFICIENT_CASH, {}, account(10_020, worth=10**6), account(10_021, worth=10**6), 1, 1, 0.0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("code", "limits", "over", "at", "more", "few", "old", "young"), EDGES)
def test_each_limit_refuses_an_entry_beyond_it_and_none_at_it(
    code: Code, limits: dict[str, Any], over: Books, at: Books, more: int, few: int, old: float, young: float
) -> None:
    t = limited(**limits)
    assert refusal(over, FLAT, more, t, age=old) is code
    assert refusal(at, FLAT, few, t, age=young) is None


def test_the_kill_switch_refuses_every_entry() -> None:
    assert refusal(account(), FLAT, 1, limited(kill_switch=True)) is Code.KILL_SWITCH


def test_the_least_notional_of_the_venue_counts() -> None:
    picky = limited(replace(CENTS, minimum_notional=Decimal(200)))
    assert refusal(account(), FLAT, 1, picky) is Code.NOTIONAL_TOO_SMALL
    assert refusal(account(), FLAT, 2, picky) is None


def test_what_is_held_counts_towards_the_position_limit_and_not_as_another_open_position() -> None:
    a, h = holder(40)
    assert refusal(a, h, 40, limited(max_position=Decimal("0.5"))) is Code.POSITION_LIMIT
    assert refusal(a, h, 30, limited(max_position=Decimal("0.5"), max_open_positions=1)) is None


def test_losses_are_measured_at_the_price_of_the_order() -> None:
    """40 lots bought at 100.00 are worth 90.00 each at the open: 400.00 of 14,000.00 are lost."""
    a, h = holder(40)
    a = a._replace(day_start=a.cash + a.worth, peak=a.cash + a.worth)
    for name, code in (("max_daily_loss", Code.DAILY_LOSS_LIMIT), ("max_drawdown", Code.DRAWDOWN_LIMIT)):
        t = limited(**{name: Decimal("0.02")})
        assert refusal(a, h, 1, t, tick=9000) is code
        assert refusal(a, h, 1, t, tick=9500) is None


def test_the_first_check_that_fails_gives_the_refusal() -> None:
    """All at once; each limit that is lifted shows the next one."""
    ruined = account(1, worth=20_000, peak=10**9, day_start=10**9, entries=9, open_positions=9, day=5)
    picky = replace(CENTS, minimum_notional=Decimal(500))
    kept: dict[str, Any] = {
        "kill_switch": True,
        "max_quote_age_seconds": 0.0,
        "max_drawdown": Decimal("0.1"),
        "max_daily_loss": Decimal("0.1"),
        "max_entries_per_day": 1,
        "max_open_positions": 1,
        "minimum_notional": Decimal(500),
        "max_position": Decimal("0.1"),
        "max_exposure": Decimal("0.1"),
    }
    found = [refusal(ruined, FLAT, 0, limited(picky, max_position=Decimal("0.1"), kill_switch=True), age=9.0)]
    for lifted in range(len(kept) + 1):
        left = dict(list(kept.items())[lifted:])
        instrument = replace(CENTS, minimum_notional=left.pop("minimum_notional", Decimal(0)))
        found.append(refusal(ruined, FLAT, 1, limited(instrument, **left), age=9.0))
    order = list(Code)
    first = order.index(Code.KILL_SWITCH)
    assert found == [
        Code.QUANTITY_TOO_SMALL,
        *order[first : order.index(Code.QUANTITY_TOO_SMALL)],
        Code.NOTIONAL_TOO_SMALL,
        Code.POSITION_LIMIT,
        Code.EXPOSURE_LIMIT,
        Code.INSUFFICIENT_CASH,
    ]


def test_no_limit_holds_up_an_exit() -> None:
    strict = limited(
        kill_switch=True, max_quote_age_seconds=0.0, max_entries_per_day=0, max_open_positions=0,
        max_drawdown=Decimal("0.0001"), max_daily_loss=Decimal("0.0001"), max_exposure=Decimal("0.0001"),
    )  # fmt: skip
    ruined = account(100, peak=10**6, day_start=10**6, entries=9, open_positions=1)
    _, h, event = at_open(ruined, holding(1), SELL, 1, TICK, 0, 9e9, strict)
    assert (event.outcome, list(Reason)[event.reason], h) == (EXECUTED, Reason.SIGNAL, FLAT)


@given(rules(), st.integers(0, 10**12), st.integers(1, 10**9), st.integers(0, 10**12))
def test_what_passes_the_gate_can_be_paid(stated: Rules, lots: int, tick: int, cash: int) -> None:
    t = terms_of(stated)
    a, h, event = at_open(opened(cash), FLAT, BUY, lots, tick, 0, 0.0, t)
    assert a.cash >= 0
    if event.outcome == EXECUTED:
        assert h.lots == lots
        instrument = stated.instrument
        value = instrument.quantity(lots) * instrument.price(tick)
        assert value <= instrument.money(cash) * stated.limits.max_position
        assert value >= instrument.minimum_notional


ALL = Limits(
    max_position=Decimal("0.25"), max_exposure=Decimal("0.75"), max_daily_loss=Decimal("0.02"),
    max_drawdown=Decimal("0.125"), max_entries_per_day=7, max_open_positions=4, max_quote_age_seconds=90.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (Code.HOLD, "HOLD asks for no trade"),
        (Code.POSITION_OPEN, "a position of 0.00300 BTCUSDT is open already"),
        (Code.NO_POSITION, "there is no BTCUSDT to sell"),
        (Code.KILL_SWITCH, "the kill switch is on: no entries"),
        (Code.STALE_QUOTE, "the market data are 91 s old; at most 90 s"),
        # 5,000.00 of cash, 400.00 of others and 0.003 at 50,000.00.
        (Code.DRAWDOWN_LIMIT, "equity 5550.00 is more than 12.5 % below 12000.00"),
        (Code.DAILY_LOSS_LIMIT, "more than 2 % of 11000.00 was lost today"),
        (Code.ENTRIES_PER_DAY, "8 entries today; at most 7"),
        (Code.OPEN_POSITIONS, "5 positions are open; at most 4"),
        (Code.QUANTITY_TOO_SMALL, "the quantity is below one lot of 0.00001 BTCUSDT"),
        (Code.NOTIONAL_TOO_SMALL, "500.00 is below the least order of 600"),
        (Code.POSITION_LIMIT, "a position of 650.00 would be above 25 % of the equity 5550.00"),
        (Code.EXPOSURE_LIMIT, "positions of 1050.00 would be above 75 % of the equity 5550.00"),
        (Code.INSUFFICIENT_CASH, "501.01 is needed, 5000.00 is free"),
        (Code.EXCEEDS_POSITION, "cannot sell 0.01000 BTCUSDT: 0.00300 held"),
    ],
)
def test_a_refusal_states_the_figures_that_were_compared(code: Code, text: str) -> None:
    instrument = replace(BTC, minimum_notional=Decimal(600))
    t = terms_of(Rules(instrument, limits=ALL))
    h = Holding(300, 12_345, 4_000_000, 0, 0, 0, 1, 4_000_000)
    a = Books(500_000, 52_000, 0, 0, 5, 1_200_000, 9, 1_100_000, 8)
    assert refusal_text(code, a, h, 1000, 5_000_000, 91.0, instrument, t) == text


def test_every_code_has_a_text() -> None:
    t = terms_of(Rules(BTC))
    for code in Code:
        assert refusal_text(code, account(), FLAT, 0, 1, 0.0, BTC, t)


def test_exposure_counts_what_is_held_of_the_instrument_once() -> None:
    """40 lots are held and 30 wanted: 7,000.00 of an equity of 14,000.00. Others may be held as well."""
    a, h = holder(40)
    half = limited(max_exposure=Decimal("0.5"))
    assert refusal(a, h, 30, half) is None
    assert refusal(a, h, 31, half) is Code.EXPOSURE_LIMIT
    assert refusal(a._replace(worth=a.worth + 1, cash=a.cash - 1), h, 30, half) is Code.EXPOSURE_LIMIT
