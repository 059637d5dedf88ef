"""A history played through the order of events of `account`, for any number of instruments on one account.

What happens is a list of steps (OPEN, CLOSE, DECIDE, each of one candle). Candles of all instruments are interleaved by
time. Of one moment come first the closes, then the decisions on them, then the opens: pending SELLs before pending
BUYs, and each of these groups in the order of the instruments. A recorded order of steps may be given instead: live,
messages arrive when they arrive.

`interleave` and `play` run as they are, on Python's integers, or compiled, on 64 bits; results are equal to the last
digit. Arrays of all instruments lie end to end; a candle is named by its row in them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.account import Event, at_open, candle
from engine.decide import proposed_lots
from engine.ledger import FLAT, Books, Holding, opened
from engine.orders import EXECUTED, LARGEST_INT32, NO_DECISION, NONE, PENDING, SELL, Array, Ticks
from engine.terms import Rules, Terms, bounded, terms_of

OPEN, CLOSE, DECIDE = range(3)
KINDS = 4
"""A step is the row of its candle times KINDS plus its kind."""

DAY = 86400
FULL, OVERFLOW, DONE = range(3)
LOGGED = 1 + len(Event._fields)
ROW, ACTION, REASON, LOTS, REQUESTED, PRICE, AMOUNT, COMMISSION, PROFIT, COST = (0, *range(2, LOGGED))
"""The columns of a logged fill; column 1 is its outcome."""


class Columns(NamedTuple):
    """n candles. `times` are open times in seconds since 1970; `noise` is the 20-candle deviation over the close."""

    instruments: Any
    times: Any
    open: Any
    high: Any
    low: Any
    close: Any
    actions: Any
    confidence: Any
    noise: Any


class Marks(NamedTuple):
    """What `play` writes for each candle: equity and open positions after its close, the outcome of its decision."""

    equity: Any
    positions: Any
    outcomes: Any


def interleave(starts: Any, times: Any, lengths: Any, actions: Any, rows: Any, steps: Any) -> int:
    """Writes the steps of all instruments in order, and returns how many.

    The candles of instrument k are the rows starts[k] to starts[k + 1] - 1, `lengths[k]` seconds long. `rows` (k,) is
    for use inside.
    """
    count, done = len(lengths), 0
    for k in range(count):
        # A row for a candle that opens next, -1 - row for one that is open.
        rows[k] = starts[k]
    while True:
        now, found = 0, False
        for k in range(count):
            row = rows[k]
            if row >= starts[k + 1]:
                continue
            time = times[row] if row >= 0 else _close_time(-1 - row, starts[k + 1], times, lengths[k])
            if not found or time < now:
                now, found = time, True
        if not found:
            return done
        for kind in (CLOSE, DECIDE):
            for k in range(count):
                row = -1 - rows[k]
                if row >= 0 and _close_time(row, starts[k + 1], times, lengths[k]) == now:
                    steps[done] = row * KINDS + kind
                    done += 1
                    if kind == DECIDE:
                        rows[k] = row + 1
        for buys in (False, True):
            for k in range(count):
                row = rows[k]
                opens = 0 <= row < starts[k + 1] and times[row] == now
                if opens and (row > starts[k] and actions[row - 1] == SELL) != buys:
                    steps[done] = row * KINDS + OPEN
                    done += 1
                    rows[k] = -1 - row


def _close_time(row: int, end: int, times: Any, length: int) -> int:
    """A candle is over when the next one opens: a daily one is an hour shorter when clocks go forward."""
    over: int = times[row] + length
    if row + 1 < end and times[row + 1] < over:
        over = times[row + 1]
    return over


def play(
    steps: Any,
    first: int,
    columns: Columns,
    starts: Any,
    lengths: Any,
    terms: Any,
    account: Any,
    holdings: Any,
    pending: Any,
    marks: Marks,
    fills: Any,
    filled: int,
) -> tuple[int, int, int]:
    """The steps from `first` on. Returns the next step, the number of logged fills, and why it stopped: DONE, FULL
    where `fills` holds no more, OVERFLOW where 64 bits do not suffice.

    State is read from and left in `account` (9,), `holdings` (k, 8) and `pending` (k, 2): action and lots.
    """
    a = Books(
        account[0], account[1], account[2], account[3], account[4], account[5], account[6], account[7], account[8]
    )
    stopped, step = DONE, first
    k = columns.instruments[steps[first] // KINDS]
    h, t = _loaded(holdings, k), terms[k]
    while step < len(steps):
        row = steps[step] // KINDS
        kind = steps[step] - row * KINDS
        if columns.instruments[row] != k:
            for field in range(len(h)):
                holdings[k, field] = h[field]
            k = columns.instruments[row]
            h, t = _loaded(holdings, k), terms[k]
        event = Event(NONE, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        if kind == CLOSE:
            day = columns.times[row] // DAY
            open_, high, low = _wide(columns.open[row]), _wide(columns.high[row]), _wide(columns.low[row])
            a, h, event = candle(a, h, open_, high, low, _wide(columns.close[row]), day, t)
            marks.equity[row] = a.cash + a.worth
            marks.positions[row] = a.open_positions
        elif kind == DECIDE and columns.actions[row] != NO_DECISION:
            action = columns.actions[row]
            lots = proposed_lots(
                a, h, action, _wide(columns.close[row]), columns.confidence[row], columns.noise[row], t
            )
            if lots < 0:
                stopped = OVERFLOW
                break
            pending[k, 0], pending[k, 1] = action, lots
            marks.outcomes[row] = PENDING
        elif kind == OPEN and pending[k, 0] != NO_DECISION:
            age = max(columns.times[row] - columns.times[row - 1] - lengths[k], 0)
            day = columns.times[row] // DAY
            a, h, event = at_open(a, h, pending[k, 0], pending[k, 1], _wide(columns.open[row]), day, float(age), t)
            marks.outcomes[row - 1] = event.outcome
            pending[k, 0] = NO_DECISION
        step += 1
        if event.outcome == EXECUTED:
            fills[filled, 0] = row
            for field in range(len(event)):
                fills[filled, 1 + field] = event[field]
            filled += 1
        # One step adds less than 2**62 to what was at most 2**62: the sum has not overflowed yet.
        if max(a.cash + a.worth, a.commissions) > t.largest_money:
            stopped = OVERFLOW
            break
        if filled == len(fills):
            stopped = FULL
            break
    for field in range(len(h)):
        holdings[k, field] = h[field]
    for field in range(len(a)):
        account[field] = a[field]
    return step, filled, stopped


def _wide(price: int) -> int:
    """Columns hold prices in as few bits as they need; compiled, a sum with 0 has 64."""
    return price + 0


def _loaded(holdings: Any, k: int) -> Holding:
    return Holding(
        holdings[k, 0],
        holdings[k, 1],
        holdings[k, 2],
        holdings[k, 3],
        holdings[k, 4],
        holdings[k, 5],
        holdings[k, 6],
        holdings[k, 7],
    )


@dataclass(frozen=True, eq=False)
class Series:
    """The n candles of one instrument with what was decided at the close of each.

    `times` are open times in seconds since 1970, `length` is the interval in seconds; prices are in ticks; actions and
    confidence are those of `decide.choose`; `noise` is the 20-candle deviation of the close over the close.
    """

    rules: Rules
    length: int
    times: npt.NDArray[np.int64]
    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks
    actions: npt.NDArray[np.int8]
    confidence: Array
    noise: Array

    def close_times(self) -> npt.NDArray[np.int64]:
        """When each candle is over (n,): at the latest when the next one opens, as in `interleave`."""
        closes: npt.NDArray[np.int64] = self.times + self.length
        np.minimum(closes[:-1], self.times[1:], out=closes[:-1])
        return closes


@dataclass(frozen=True, eq=False)
class Played:
    """A history played through. Rows count the candles of all instruments end to end, from `starts[k]` on.

    `equity` (n,) in money steps and `positions` (n,), the number of open ones, stand at the close of each candle,
    `outcomes` (n,) are numbers of OUTCOMES, `fills` (m, LOGGED) whole numbers in the order in which they happened.
    """

    account: Books
    holdings: tuple[Holding, ...]
    starts: npt.NDArray[np.int64]
    steps: npt.NDArray[Any]
    equity: Ticks
    positions: npt.NDArray[np.int32]
    outcomes: npt.NDArray[np.int8]
    fills: Ticks


class Machine(NamedTuple):
    """The two loops as Python or compiled code runs them, and the type of the prices that they read."""

    interleave: Callable[..., int]
    play: Callable[..., tuple[int, int, int]]
    prices: "np.dtype[Any]"


PYTHON = Machine(interleave, play, np.dtype(object))


def simulate(
    series: Sequence[Series],
    cash: int,
    steps: npt.NDArray[Any] | None = None,
    compiled: Machine | None = None,
) -> Played:
    """The account, `cash` money steps at the start, after all candles of its instruments.

    `steps` is a recorded order; without it candles are interleaved by time. With `compiled` the loops run there where
    every number fits into 64 bits, and on Python's integers otherwise. Money steps are the finest of the instruments'.
    Raises ValueError for steps of other candles.
    """
    starts = np.cumsum([0, *(len(one.times) for one in series)])
    if steps is not None and not ((steps >= 0) & (steps < starts[-1] * KINDS) & (steps % KINDS <= DECIDE)).all():
        raise ValueError("there are steps that belong to none of the candles")
    lengths = np.array([one.length for one in series], dtype=np.int64)
    money_step = min(one.rules.instrument.money_step for one in series)
    terms = [terms_of(one.rules, money_step) for one in series]
    limited = None if compiled is None else _limited(series, terms, cash, compiled)
    if compiled is not None and limited is not None:
        columns = _columns(series, compiled.prices)
        played = _played(compiled, columns, starts, lengths, limited, cash, steps)
        if played is not None:
            return played
    plain = Columns(*(column.tolist() for column in _columns(series, None)))
    played = _played(PYTHON, plain, starts, lengths, terms, cash, steps)
    if played is None:
        raise ValueError("a decision to BUY has a confidence or noise that is not finite")
    return played


def _columns(series: Sequence[Series], prices: "np.dtype[Any] | None") -> Columns:
    """The arrays of all series end to end, in the types that compiled code reads."""
    instruments = np.repeat(np.arange(len(series), dtype=np.int32), [len(one.times) for one in series])
    types: tuple[Any, ...] = (np.int64, prices, prices, prices, prices, np.int8, np.float64, np.float64)
    columns = []
    for name, dtype in zip(Columns._fields[1:], types, strict=True):
        columns.append(np.ascontiguousarray(_end_to_end([getattr(one, name) for one in series]), dtype))
    return Columns(instruments, *columns)


def _end_to_end(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """One array of several, and no copy of those that are the parts of one already."""
    if len(arrays) == 1:
        return arrays[0]
    whole: Any = arrays[0].base
    if whole is None or any(array.base is not whole for array in arrays):
        return np.concatenate(arrays)
    follows = all(before.ctypes.data + before.nbytes == after.ctypes.data for before, after in pairwise(arrays))
    if not follows or whole.size != sum(array.size for array in arrays):
        return np.concatenate(arrays)
    parts: npt.NDArray[Any] = whole
    return parts


def _limited(series: Sequence[Series], terms: Sequence[Terms], cash: int, compiled: Machine) -> list[Terms] | None:
    """The terms for 64 bits, with the least money of them all; None where prices or products of them do not fit."""
    if sum(len(one.times) for one in series) * KINDS > LARGEST_INT32:
        return None
    found = []
    for one, its_terms in zip(series, terms, strict=True):
        columns = (one.open, one.high, one.low, one.close)
        if not all(np.can_cast(column.dtype, compiled.prices) for column in columns):
            return None
        limited = bounded(its_terms, max(int(column.max(initial=1)) for column in columns))
        if limited is None:
            return None
        found.append(limited)
    money = min(limited.largest_money for limited in found)
    return [limited._replace(largest_money=money) for limited in found] if cash < money else None


def _played(
    machine: Machine,
    columns: Columns,
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    terms: Sequence[Terms],
    cash: int,
    steps: npt.NDArray[Any] | None,
) -> Played | None:
    """None where 64 bits do not suffice."""
    rows, count = int(starts[-1]), len(terms)
    if steps is None:
        steps = _interleaved(machine, columns, starts, lengths)
    whole: Any = np.int64 if machine is not PYTHON else object
    account, holdings = np.array(opened(cash), dtype=whole), np.array([FLAT] * count, dtype=whole)
    pending = np.full((count, 2), NO_DECISION, dtype=whole)
    marks = Marks(np.zeros(rows, whole), np.zeros(rows, np.int32), np.full(rows, NONE, np.int8))
    fills, filled, step, stopped = np.zeros((1024, LOGGED), dtype=whole), 0, 0, FULL
    given: Any = steps.tolist() if machine is PYTHON else np.ascontiguousarray(steps, np.int32)
    while stopped == FULL and step < len(steps):
        fills = np.concatenate([fills, np.zeros_like(fills)])
        step, filled, stopped = machine.play(
            given, step, columns, starts, lengths, terms, account, holdings, pending, marks, fills, filled
        )
    if stopped == OVERFLOW:
        return None
    return Played(
        account=Books(*account.tolist()),
        holdings=tuple(Holding(*held) for held in holdings.tolist()),
        starts=starts,
        steps=steps,
        equity=marks.equity,
        positions=marks.positions,
        outcomes=marks.outcomes,
        fills=fills[:filled],
    )


def _interleaved(
    machine: Machine, columns: Columns, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    rows, count = int(starts[-1]), len(lengths)
    dtype: Any = np.int32 if rows * KINDS <= LARGEST_INT32 else np.int64
    if count == 1:
        return np.arange(rows * KINDS, dtype=dtype).reshape(rows, KINDS)[:, :3].ravel()
    steps = np.empty(3 * rows, dtype=dtype)
    machine.interleave(starts, columns.times, lengths, columns.actions, np.zeros(count, np.int64), steps)
    return steps
