"""The order of events by hand: days, the pending decision, levels and valuation."""

from engine.account import at_close, at_open, begin_day, within
from engine.ledger import FLAT, opened
from engine.orders import BUY, EXECUTED, HOLD, NONE, SELL, STOP_LOSS
from tests.engine.accounts import CASH, NO_COSTS, account, holding, terms


def test_a_later_day_starts_the_counters_anew() -> None:
    a = account(day=5, day_start=1, entries=3, worth=77, peak=10**9)
    assert begin_day(a, 6) == a._replace(day=6, day_start=CASH + 77, entries=0)


def test_the_same_day_and_an_earlier_one_change_nothing() -> None:
    """A daily candle closes after hourly ones of the next day have opened: that day has begun."""
    a = account(day=5, day_start=1, entries=3)
    assert begin_day(a, 5) == begin_day(a, 4) == a


def test_the_first_price_and_a_candle_begin_their_day() -> None:
    t = terms()
    assert at_open(opened(CASH), FLAT, HOLD, 0, 10_000, 9, 0.0, t)[0].day == 9
    assert within(opened(CASH), FLAT, 10_000, 10_000, 10_000, 9, t)[0].day == 9


def test_an_entry_of_a_new_day_is_measured_against_its_own_start() -> None:
    a, h, event = at_open(account(day=5, entries=3, day_start=1), FLAT, BUY, 1, 10_000, 6, 0.0, terms())
    assert (event.outcome, a.entries, a.day_start, h.lots) == (EXECUTED, 1, CASH, 1)


def test_nothing_is_protected_where_nothing_is_held() -> None:
    a, h, event = within(account(day=0), FLAT, 10_000, 20_000, 1, 0, terms(stop_loss=0.05))
    assert (a, h, event.outcome) == (account(day=0), FLAT, NONE)


def test_a_candle_from_its_open_to_its_close() -> None:
    """Bought at 100.00, not stopped at 95.00, valued at 98.00; the next candle gaps to 90.00 and is valued in cash."""
    t = terms(costs=NO_COSTS, stop_loss=0.05)
    a, h, event = at_open(opened(CASH), FLAT, BUY, 10, 10_000, 0, 0.0, t)
    assert (event.outcome, h.stop, a.cash, a.worth) == (EXECUTED, 9500, CASH - 100_000, 100_000)
    a, h, event = within(a, h, 10_000, 10_200, 9600, 0, t)
    assert event.outcome == NONE
    a, h = at_close(a, h, 9800, t)
    assert (a.worth, a.peak, h.mark) == (98_000, CASH, 9800)
    a, h, event = within(a, h, 9000, 9100, 8900, 0, t)
    assert (event.outcome, event.action, event.reason, event.price) == (EXECUTED, SELL, STOP_LOSS, 9000)
    assert (event.profit, event.cost) == (-10_000, 100_000)
    a, h = at_close(a, h, 8900, t)
    assert (a, h) == (opened(CASH)._replace(cash=CASH - 10_000, realised=-10_000, day=0, entries=1), FLAT)


def test_a_valuation_sees_the_other_instruments_at_their_last_marks() -> None:
    first, second = holding(10), holding(5)
    a = account(worth=150_000, open_positions=2)
    a, first = at_close(a, first, 12_000, terms())
    assert (a.worth, a.peak) == (170_000, CASH + 170_000)
    a, second = at_close(a, second, 8000, terms())
    assert (a.worth, a.peak, first.mark, second.mark) == (160_000, CASH + 170_000, 12_000, 8000)
