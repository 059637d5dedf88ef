"""The comparison that costs no thought: everything bought at the first open after the start, and kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.account import buy
from engine.fills import amount_received, buy_price
from engine.history import Series
from engine.ledger import FLAT, opened
from engine.orders import LARGEST_INT64, Ticks
from engine.terms import Terms, terms_of


def buy_and_hold(series: Sequence[Series], closes: npt.NDArray[np.int64], cash: int) -> tuple[Ticks, list[float]]:
    """The value at each moment of `closes` (m,), in money steps, and for each instrument the change of its share in
    percent.

    The cash is split equally; what does not divide goes to the first instruments. With its share an instrument is
    bought at the open of its second candle, the first price that a decision on these candles could have been filled at:
    as many lots as the costs leave cash for, with no position limit.
    """
    share, rest = divmod(cash, len(series))
    whole: Ticks | int = 0
    percents = []
    for k, one in enumerate(series):
        given = share + (k < rest)
        values = kept(one, given)
        percents.append(100.0 * (int(values[-1]) / given - 1.0) if given else 0.0)
        if len(series) > 1:
            seen = np.searchsorted(one.close_times(), closes, side="right")
            values = np.where(seen == 0, given, values[seen - 1])
        whole = whole + values if k else values
    return np.asarray(whole), percents


def kept(series: Series, cash: int) -> Ticks:
    """The value at each close (n,) of one instrument that is bought and kept, in money steps."""
    t, account, held = terms_of(series.rules), opened(cash), FLAT
    if len(series.times) > 1:
        tick = int(series.open[1])
        lots = _affordable(cash, tick, t)
        if lots > 0 and tick * lots * t.unit_n >= t.least_steps * t.unit_d:
            account, held, _ = buy(account, held, lots, tick, t)
    fits = int(series.close.max()) * held.lots * t.unit_n < LARGEST_INT64 and account.cash < LARGEST_INT64
    # The rule of one price, applied to all of them.
    prices: Any = series.close.astype(np.int64 if fits else object)
    values = np.asarray(account.cash + amount_received(prices, held.lots, t))
    values[:1] = cash
    return values


def _affordable(cash: int, tick: int, t: Terms) -> int:
    """The most lots whose amount and commission, each rounded up by less than one money step, leave no debt."""
    spendable = max(cash - 2, 0) * t.unit_d * t.fee_d
    return spendable // (buy_price(tick, t) * t.unit_n * (t.fee_d + t.fee_n))
