"""A whole history at once: actions as arrays, then a jump from trade to trade.

Only rows on which something can happen are visited, and there the very functions of `decide`, `risk`, `fills` and
`protect` are called that `replay.step` calls on every row. The books are written up by `ledger` afterwards, from the
orders alone, and have to arrive at the same cash.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
import pandas as pd
from msgspec import Struct

from engine.batch import played_at_once
from engine.decide import NO_DECISION, choose, entry_size
from engine.fills import fill, terms
from engine.history import Actions, History
from engine.holdings import Course, Holdings, PlayedHoldings, Run
from engine.indicators import Array
from engine.ledger import Book, LedgerError, apply
from engine.orders import Action, Code, Fill, Order, Reason, Refusal
from engine.protect import Exit, first_exit, followed, guard
from engine.risk import Rules, Standing, entry_order, exit_order

NONE, PENDING, EXECUTED = 0, 1, 2
"""Outcomes of a row besides the refusals: nothing was decided; the history ends before the next open; it was filled."""

OUTCOMES = ("none", "pending", "executed", *(code.value for code in Code))
_NUMBER = {code: number for number, code in enumerate(Code, start=3)}


class Trade(Struct, frozen=True, gc=False):
    """A fill, the row of the candle in which it happened, and the net profit of a SELL."""

    row: int
    fill: Fill
    profit: Decimal | None


def replay(
    candles: pd.DataFrame, probabilities: Array, volatility: Array, interval: str, rules: Rules, cash: Decimal
) -> "Replay":
    """What n calls of `replay.step` bring: candles of n rows, probabilities (n, 3), 20-candle deviation (n,).

    Row i of the probabilities is what the model knew at the close of candle i.
    """
    actions, confidence = choose(probabilities, rules.policy.confidence_threshold)
    return replay_actions(candles, actions, confidence, volatility, interval, rules, cash)


def replay_actions(
    candles: pd.DataFrame,
    actions: Actions,
    confidence: Array,
    volatility: Array,
    interval: str,
    rules: Rules,
    cash: Decimal,
) -> "Replay":
    """The same for actions already chosen, each (n,)."""
    history = History(candles, actions, confidence, volatility, interval)
    at_once = played_at_once(history, rules, cash)
    if at_once is not None:
        return Replay(history, rules, at_once, [])
    jump = _Jump(history, rules, cash)
    jump.play()
    return Replay(history, rules, PlayedHoldings(jump.course), jump.refused)


class _Jump:
    """The account on its way through a history, from entry to exit to entry."""

    def __init__(self, history: History, rules: Rules, cash: Decimal) -> None:
        self.history, self.rules, self.cash = history, rules, cash
        self.symbol = rules.instrument.symbol
        self.course = Course(cash, history.close)
        self.refused: list[tuple[int, Code]] = []

    def play(self) -> None:
        next_buy, row, last = self.history.next_buy.item, 0, self.history.rows - 1
        while (row := next_buy(row)) < last:
            result = self._gated(row)
            if isinstance(result, Order):
                row = self._hold(row + 1, result)
            else:
                self.refused.append((row, result.code))
                row += 1

    def _gated(self, row: int) -> Order | Refusal:
        """The BUY decided at the close of a row meets the next open."""
        history, rules, cash = self.history, self.rules, self.cash
        price, volatility, confidence = (
            history.close.item(row),
            history.volatility.item(row),
            history.confidence.item(row),
        )
        wanted = entry_size(price, volatility, confidence, cash, cash, rules.policy)
        quote = history.quote(row + 1, rules)
        return entry_order(self.symbol, wanted, Book(cash), self._standing(row + 1), quote, rules)

    def _hold(self, entry: int, purchase: Order) -> int:
        """Buys, and sells again; the row at whose close the position is gone, or the end of history."""
        instrument, costs = self.rules.instrument, self.rules.costs
        price, amount, commission = terms(Action.BUY, purchase.price, purchase.quantity, instrument, costs)
        cash = self.cash = self.cash - amount - commission
        row, sale = self._sale(entry, price, purchase.quantity)
        if sale is not None:
            _, amount, commission = terms(Action.SELL, sale.price, sale.quantity, instrument, costs)
            self.cash += amount - commission
        self.course.add(Run(entry, purchase, cash, row, sale, self.cash))
        return row

    def _sale(self, entry: int, price: Decimal, quantity: Decimal) -> tuple[int, Order | None]:
        """The row and the order of whatever ends the position first."""
        history, rules = self.history, self.rules
        row = history.next_sell.item(entry) + 1
        if rules.policy.protects:
            found = self._first_exit(entry, min(row, history.rows), price)
            if found is not None:
                reached = rules.instrument.price(found.price)
                return found.candle, exit_order(self.symbol, quantity, reached, found.reason)
        if row >= history.rows:
            return history.rows, None
        opened = rules.instrument.price(history.open.item(row))
        return row, exit_order(self.symbol, quantity, opened, Reason.SIGNAL)

    def _first_exit(self, row: int, end: int, price: Decimal) -> Exit | None:
        """The first protective exit in the rows up to `end`, looked for in growing stretches."""
        history = self.history
        levels = guard(price, self.rules.policy, self.rules.instrument)
        size = 64
        while levels is not None and row < end:
            stretch = slice(row, min(row + size, end))
            found = first_exit(levels, history.open[stretch], history.high[stretch], history.low[stretch])
            if found is not None:
                return found._replace(candle=row + found.candle)
            levels = followed(levels, history.high[stretch])
            row, size = row + size, 4 * size
        return None

    def _standing(self, row: int) -> Standing:
        """How the account, all in cash, stands at the open of a row. What no limit asks for is not worked out."""
        cash, limits = self.cash, self.rules.limits
        peak = day_start = cash
        entries_today = 0
        if limits.max_drawdown is not None:
            peak = self.course.peak_equity()
        if limits.max_daily_loss is not None:
            day_start = self.course.equity_at(self.history.first_row_of_day(row) - 1)
        if limits.max_entries_per_day is not None:
            entries = self.course.entries
            entries_today = len(entries) - bisect_left(entries, self.history.first_row_of_day(row))
        return Standing(cash, peak, day_start, entries_today)


@dataclass(frozen=True)
class Replay:
    """A history played through. Arrays have one value for each of its candles."""

    history: History
    rules: Rules
    holdings: Holdings
    refused: list[tuple[int, Code]]

    @property
    def index(self) -> pd.DatetimeIndex:
        return self.history.index

    @property
    def actions(self) -> Actions:
        return self.history.actions

    @property
    def confidence(self) -> Array:
        return self.history.confidence

    @property
    def book(self) -> Book:
        """The book at the end."""
        return self._books[1]

    @property
    def trades(self) -> list[Trade]:
        return self._books[0]

    @property
    def profits(self) -> list[Decimal]:
        """The net profit of each closed trade."""
        return self.holdings.profits()

    @cached_property
    def _books(self) -> tuple[list[Trade], Book]:
        book, trades = Book(self.holdings.initial), []
        for row, order in self._orders():
            fill_ = fill(order, self.rules.instrument, self.rules.costs, self.history.open_time(row))
            before, book = book, apply(book, fill_)
            profit = book.realised - before.realised if order.action is Action.SELL else None
            trades.append(Trade(row, fill_, profit))
        if book.cash != self.holdings.last_cash:
            raise LedgerError(f"the books end with {book.cash}, the run with {self.holdings.last_cash}")
        return trades, book

    def _orders(self) -> Iterator[tuple[int, Order]]:
        for run in self.holdings.runs:
            yield run.entry, run.purchase
            if run.sale is not None:
                yield run.exit, run.sale

    @cached_property
    def outcomes(self) -> Actions:
        """What became of the decision of each row, as numbers of OUTCOMES."""
        actions = self.actions
        long = self.holdings.quantity_array() > 0
        idle = np.where(long, _NUMBER[Code.POSITION_OPEN], _NUMBER[Code.NO_POSITION])
        outcomes = np.where(actions == Action.HOLD, _NUMBER[Code.HOLD], idle).astype(np.int8)
        outcomes[(actions == Action.BUY) & ~long | (actions == Action.SELL) & long] = EXECUTED
        for row, code in self.refused:
            outcomes[row] = _NUMBER[code]
        outcomes[-1:] = PENDING
        outcomes[actions == NO_DECISION] = NONE
        return outcomes

    def decisions_by_action(self) -> dict[str, int]:
        return {action.name: int(np.count_nonzero(self.actions == action)) for action in reversed(Action)}

    def refusals_by_code(self) -> dict[str, int]:
        """Decisions that led to no trade, by the code of the reason, commonest first."""
        counts = np.bincount(self.outcomes, minlength=len(OUTCOMES))
        found = Counter({code.value: int(counts[number]) for code, number in _NUMBER.items() if counts[number]})
        return dict(found.most_common())
