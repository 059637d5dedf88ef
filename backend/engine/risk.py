"""The pre-trade gate for entries. Exits lower the risk of the account: no limit and no kill switch applies to them.

The checks are made in the order in which they are written; the first that fails gives the refusal. Losses are measured
with the instrument at the price of the order and all others at their last marks.
"""

from engine.fills import amount_paid, amount_received, buy_price, commission
from engine.ledger import Books, Holding
from engine.orders import (
    NONE,
    REFUSED_DAILY_LOSS_LIMIT,
    REFUSED_DRAWDOWN_LIMIT,
    REFUSED_ENTRIES_PER_DAY,
    REFUSED_EXPOSURE_LIMIT,
    REFUSED_INSUFFICIENT_CASH,
    REFUSED_KILL_SWITCH,
    REFUSED_NOTIONAL_TOO_SMALL,
    REFUSED_OPEN_POSITIONS,
    REFUSED_POSITION_LIMIT,
    REFUSED_QUANTITY_TOO_SMALL,
    REFUSED_STALE_QUOTE,
    Code,
    Instrument,
)
from engine.terms import Terms


def entry_refusal(a: Books, h: Holding, lots: int, tick: int, age: float, t: Terms) -> int:
    """Why so many lots must not be bought at this price, by its number in OUTCOMES; NONE where they may.

    `age` is how old, in seconds, the market data behind the order are.
    """
    others = a.worth - amount_received(h.mark, h.lots, t)
    equity = a.cash + others + amount_received(tick, h.lots, t)
    notional = tick * lots * t.unit_n
    position = tick * (h.lots + lots) * t.unit_n
    if lots <= 0:
        return REFUSED_QUANTITY_TOO_SMALL
    if t.kill_switch != 0:
        return REFUSED_KILL_SWITCH
    if age > t.max_age:
        return REFUSED_STALE_QUOTE
    if t.drawdown_n > 0 and equity * t.drawdown_d < a.peak * (t.drawdown_d - t.drawdown_n):
        return REFUSED_DRAWDOWN_LIMIT
    if t.daily_loss_n > 0 and equity * t.daily_loss_d < a.day_start * (t.daily_loss_d - t.daily_loss_n):
        return REFUSED_DAILY_LOSS_LIMIT
    if 0 <= t.max_entries <= a.entries:
        return REFUSED_ENTRIES_PER_DAY
    if h.lots == 0 and 0 <= t.max_open <= a.open_positions:
        return REFUSED_OPEN_POSITIONS
    if notional < t.least_steps * t.unit_d:
        return REFUSED_NOTIONAL_TOO_SMALL
    if position * t.position_d > equity * t.position_n * t.unit_d:
        return REFUSED_POSITION_LIMIT
    if t.exposure_n > 0 and (others * t.unit_d + position) * t.exposure_d > equity * t.exposure_n * t.unit_d:
        return REFUSED_EXPOSURE_LIMIT
    price = buy_price(tick, t)
    if amount_paid(price, lots, t) + commission(price, lots, t) > a.cash:
        return REFUSED_INSUFFICIENT_CASH
    return NONE


def refusal_text(
    code: Code, a: Books, h: Holding, lots: int, tick: int, age: float, instrument: Instrument, t: Terms
) -> str:
    """A refusal in words, with the figures that the gate compared."""
    texts = {
        Code.HOLD: "HOLD asks for no trade",
        Code.NO_POSITION: f"there is no {instrument.symbol} to sell",
        Code.KILL_SWITCH: "the kill switch is on: no entries",
        Code.QUANTITY_TOO_SMALL: f"the quantity is below one lot of {instrument.lot_step} {instrument.symbol}",
        Code.STALE_QUOTE: f"the market data are {age:.0f} s old; at most {t.max_age:.0f} s",
        Code.ENTRIES_PER_DAY: f"{a.entries} entries today; at most {t.max_entries}",
        Code.OPEN_POSITIONS: f"{a.open_positions} positions are open; at most {t.max_open}",
    }
    return texts.get(code) or _money_text(code, a, h, lots, tick, instrument, t)


def _money_text(code: Code, a: Books, h: Holding, lots: int, tick: int, instrument: Instrument, t: Terms) -> str:
    """Of the refusals that compare money."""
    step = instrument.money_step / t.scale
    others = a.worth - amount_received(h.mark, h.lots, t)
    equity = (a.cash + others + amount_received(tick, h.lots, t)) * step
    position, price = amount_received(tick, h.lots + lots, t) * step, buy_price(tick, t)
    needed = (amount_paid(price, lots, t) + commission(price, lots, t)) * step
    held, asked = h.lots * instrument.lot_step, lots * instrument.lot_step
    texts = {
        Code.POSITION_OPEN: f"a position of {held} {instrument.symbol} is open already",
        Code.DRAWDOWN_LIMIT: f"equity {equity} is more than {_percent(t.drawdown_n, t.drawdown_d)} below "
        f"{a.peak * step}",
        Code.DAILY_LOSS_LIMIT: f"more than {_percent(t.daily_loss_n, t.daily_loss_d)} of {a.day_start * step} was lost "
        "today",
        Code.NOTIONAL_TOO_SMALL: f"{amount_received(tick, lots, t) * step} is below the least order of "
        f"{instrument.minimum_notional}",
        Code.POSITION_LIMIT: f"a position of {position} would be above {_percent(t.position_n, t.position_d)} of the "
        f"equity {equity}",
        Code.EXPOSURE_LIMIT: f"positions of {others * step + position} would be above "
        f"{_percent(t.exposure_n, t.exposure_d)} of the equity {equity}",
        Code.INSUFFICIENT_CASH: f"{needed} is needed, {a.cash * step} is free",
        Code.EXCEEDS_POSITION: f"cannot sell {asked} {instrument.symbol}: {held} held",
    }
    return texts[code]


def _percent(numerator: int, denominator: int) -> str:
    return f"{100 * numerator / denominator:g} %"
