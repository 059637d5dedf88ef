"""The fold over history, one candle at a time. The live agents call the functions that `step` is made of; `jump` gets
the same result, to the last digit, for a whole history at once.

The order of things within a candle:
1. At its open, the decision of the candle before is carried out, if the gate lets it pass.
2. Within it, a protective level may be reached.
3. At its close, the account is valued, the market observed, and the next decision made.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd

from engine.decide import Decision, decide
from engine.fills import fill
from engine.indicators import Array
from engine.ledger import Book, apply
from engine.orders import Action, Fill, Order, Quote, Refusal, exact
from engine.protect import Exit, Guard, first_exit, followed, guard
from engine.risk import Rules, Standing, exit_order, gate
from engine.snapshot import Snapshot, market_frame, snapshot_at

Predict = Callable[[Snapshot], Array]
"""A model as the fold sees it: the probabilities (3,) of SELL, HOLD and BUY for one snapshot."""


class Candle(NamedTuple):
    """The prices of one candle, as the account meets them."""

    open_time: datetime
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True, slots=True)
class State:
    """An account in one instrument between two candles. Days are UTC days."""

    book: Book
    equity: Decimal
    peak_equity: Decimal
    day_start_equity: Decimal
    day: date | None = None
    entries_today: int = 0
    guard: Guard | None = None
    pending: Decision | None = None

    @classmethod
    def start(cls, cash: Decimal) -> "State":
        return cls(Book(cash), equity=cash, peak_equity=cash, day_start_equity=cash)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a decision."""

    decision: Decision
    result: Fill | Refusal


@dataclass(frozen=True, slots=True)
class Step:
    """What one candle brought: the outcome of the decision before it, a protective exit, and the next state."""

    state: State
    outcome: Outcome | None
    exit: Fill | None


def step(state: State, window: pd.DataFrame, interval: str, predict: Predict, rules: Rules) -> Step:
    """The next candle, the last of the window. With `indicators.WINDOW` candles the window stands for all history."""
    candle = Candle(window.index[-1].to_pydatetime(), *window.iloc[-1][["open", "high", "low", "close"]].to_list())
    snapshot = snapshot_at(market_frame(window), -1, rules.instrument.symbol, interval)
    return advance(state, candle, snapshot, predict, rules)


def advance(state: State, candle: Candle, snapshot: Snapshot | None, predict: Predict, rules: Rules) -> Step:
    """The same for a candle whose snapshot is known; None while the indicators are warming up."""
    state, outcome = at_open(state, candle, rules)
    state, exit_fill = within(state, candle, rules)
    state = at_close(state, candle, rules)
    if snapshot is not None:
        pending = decide(snapshot, predict(snapshot), state.book, state.equity, rules.policy)
        state = replace(state, pending=pending)
    return Step(state, outcome, exit_fill)


def at_open(state: State, candle: Candle, rules: Rules) -> tuple[State, Outcome | None]:
    """The pending decision meets the first price after it."""
    day = candle.open_time.date()
    if day != state.day:
        state = replace(state, day=day, day_start_equity=state.equity, entries_today=0)
    decision = state.pending
    if decision is None:
        return state, None
    quote = quote_at(decision, candle.open_time, candle.open, rules)
    equity = state.book.equity({decision.symbol: quote.price})
    standing = Standing(equity, state.peak_equity, state.day_start_equity, state.entries_today)
    result: Fill | Order | Refusal = gate(decision, state.book, standing, quote, rules)
    state = replace(state, pending=None)
    if isinstance(result, Order):
        result = fill(result, rules.instrument, rules.costs, candle.open_time)
        state = _filled(state, result, rules)
    return state, Outcome(decision, result)


def within(state: State, candle: Candle, rules: Rules) -> tuple[State, Fill | None]:
    """A protective level may be reached between the open and the close."""
    if state.guard is None:
        return state, None
    high = np.array([candle.high])
    found = first_exit(state.guard, np.array([candle.open]), high, np.array([candle.low]))
    if found is None:
        return replace(state, guard=followed(state.guard, high)), None
    order = protective_order(found, state.book, rules)
    fill_ = fill(order, rules.instrument, rules.costs, candle.open_time)
    return _filled(state, fill_, rules), fill_


def at_close(state: State, candle: Candle, rules: Rules) -> State:
    """The account valued at the close."""
    equity = state.book.equity({rules.instrument.symbol: exact(candle.close)})
    return replace(state, equity=equity, peak_equity=max(state.peak_equity, equity))


def quote_at(decision: Decision, open_time: datetime, open_price: float, rules: Rules) -> Quote:
    """The open of a candle as a quote, as old as the close that the decision was made on."""
    age = (open_time - decision.time).total_seconds()
    # The day on which clocks go forward is an hour shorter than a daily candle claims.
    return Quote(rules.instrument.price(open_price), max(age, 0.0))


def protective_order(found: Exit, book: Book, rules: Rules) -> Order:
    """The whole position to be sold at the price of a protective exit."""
    position = book.positions[rules.instrument.symbol]
    return exit_order(position.symbol, position.quantity, rules.instrument.price(found.price), found.reason)


def _filled(state: State, fill_: Fill, rules: Rules) -> State:
    book = apply(state.book, fill_)
    if fill_.order.action is Action.SELL:
        return replace(state, book=book, guard=None)
    levels = guard(fill_.price, rules.policy, rules.instrument)
    return replace(state, book=book, guard=levels, entries_today=state.entries_today + 1)
