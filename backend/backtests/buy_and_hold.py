"""The comparison that costs no thought: everything bought at the first open after the start, and kept."""

from decimal import ROUND_DOWN, Decimal

import numpy as np
import pandas as pd

from backtests.curve import Curve, exact_curve
from engine.fills import fill
from engine.ledger import Book, apply
from engine.orders import ZERO, Action, Instrument, Order, exact
from engine.terms import Costs


def buy_and_hold(candles: pd.DataFrame, cash: Decimal, instrument: Instrument, costs: Costs) -> Curve:
    """The value at each close of n candles.

    Bought is at the open of the second one, the first price that a decision on these candles could have been filled
    at, as many lots as the costs leave cash for, with no position limit.
    """
    close = candles["close"].to_numpy()
    book = _bought(candles, cash, instrument, costs)
    quantity = book.quantity(instrument.symbol)
    values = float(book.cash) + float(quantity) * close
    values[:1] = float(cash)

    def exact_at(row: int) -> Decimal:
        return book.cash + quantity * exact(close.item(row)) if row else cash

    return exact_curve(np.asarray(values), exact_at, instrument)


def _bought(candles: pd.DataFrame, cash: Decimal, instrument: Instrument, costs: Costs) -> Book:
    book = Book(cash)
    if len(candles) < 2:
        return book
    quote, time = instrument.price(candles["open"].iloc[1].item()), candles.index[1].to_pydatetime()
    one_lot = fill(Order(instrument.symbol, Action.BUY, instrument.lot_step, quote), instrument, costs, time)
    quantity = _affordable(cash, one_lot.price, instrument, costs)
    if quantity == ZERO or quantity * quote < instrument.minimum_notional:
        return book
    return apply(book, fill(Order(instrument.symbol, Action.BUY, quantity, quote), instrument, costs, time))


def _affordable(cash: Decimal, price: Decimal, instrument: Instrument, costs: Costs) -> Decimal:
    """The most lots whose amount and commission, each rounded up by less than one money step, leave no debt."""
    spendable = max(cash - 2 * instrument.money_step, ZERO)
    lots = spendable / (price * (1 + costs.fee_rate) * instrument.lot_step)
    return lots.to_integral_value(ROUND_DOWN) * instrument.lot_step
