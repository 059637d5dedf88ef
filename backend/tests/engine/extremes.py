"""Accounts at the edge of what 64 bits hold, and a machine that notices when they do not."""

from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np

from engine import history
from engine.history import Columns, Machine, Series
from engine.orders import Instrument
from engine.terms import FLOAT_TERMS, Costs, Limits, Policy, Rules, Terms, bounded, terms_of

LEAST, MOST = -(2**63), 2**63 - 1


class Int64(int):
    """A whole number that refuses to grow beyond 64 bits, in every single operation."""


def _checked(name: str) -> Any:
    plain = getattr(int, name)

    def operation(self: int, *others: int) -> Any:
        result = plain(self, *others)
        if result is NotImplemented:
            return result
        if not LEAST <= result <= MOST:
            raise AssertionError(f"{name} of {int(self)} and {others} needs more than 64 bits")
        return Int64(result)

    return operation


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "rfloordiv", "mod", "rmod", "neg"):
    setattr(Int64, f"__{_name}__", _checked(f"__{_name}__"))


def _wrapped(values: Any) -> list[Int64]:
    return [Int64(value) for value in values]


def _terms(terms: Terms) -> Terms:
    return Terms(*(value if name in FLOAT_TERMS else Int64(value) for name, value in terms._asdict().items()))


def _checked_play(
    steps: Any, first: int, columns: Columns, starts: Any, lengths: Any, terms: Any, account: Any, holdings: Any,
    pending: Any, marks: Any, fills: Any, filled: int,
) -> tuple[int, int, int]:  # fmt: skip
    plain = columns._replace(
        **{name: _wrapped(getattr(columns, name)) for name in ("instruments", "times", "open", "high", "low", "close")},
        **{name: getattr(columns, name).tolist() for name in ("actions", "confidence", "noise")},
    )
    state = [np.empty(part.shape, object) for part in (account, holdings, pending)]
    for wrapped, part in zip(state, (account, holdings, pending), strict=True):
        wrapped.flat = _wrapped(part.ravel().tolist())
    found = history.play(
        steps.tolist(), first, plain, starts, _wrapped(lengths), [_terms(one) for one in terms], *state, marks, fills,
        filled,
    )  # fmt: skip
    for wrapped, part in zip(state, (account, holdings, pending), strict=True):
        part[:] = wrapped
    return found


CHECKED = Machine(history.interleave, _checked_play, np.dtype(np.int64))
"""Takes what compiled code would take, and raises AssertionError where a number does not fit into 64 bits."""


def extreme_account(seed: int) -> tuple[list[Series], int]:
    """One to five instruments on one account, with cash or quantities close to the bounds of 64 bits."""
    random = Random(seed)
    money_step = Decimal(random.choice(["0.01", "0.01", "0.00000001", "1"]))
    limits = _limits(random)
    series = [_series(random, money_step, limits) for _ in range(random.choice([1, 1, 2, 5]))]
    bounds = [_bounds(one) for one in series]
    if None not in bounds and random.random() < 0.3:
        series = [_near_the_bound(one, random) for one in series]
        bounds = [_bounds(one) for one in series]
    cash = int(Decimal(10) ** random.randint(0, 15) / money_step)
    if None not in bounds:
        near = min(bound.largest_money for bound in bounds if bound is not None)
        cash = random.choice([cash, cash, int(near * random.choice([0.01, 0.4, 0.99, 0.999999]))])
    return series, max(cash, 1)


def _bounds(series: Series) -> Terms | None:
    return bounded(terms_of(series.rules), int(max(series.high.max(), series.open.max())))


def _near_the_bound(series: Series, random: Random) -> Series:
    """The same with a fixed quantity close to the most lots that fit."""
    bound = _bounds(series)
    if bound is None:
        raise ValueError("there is no bound")
    rules = series.rules
    lots = max(int(bound.largest_lots * random.choice([0.1, 0.5, 0.9999, 1.0, 1.1])), 1)
    policy = replace(rules.policy, quantity=lots * rules.instrument.lot_step)
    return replace(series, rules=Rules(rules.instrument, rules.costs, policy, rules.limits))


def _fraction(random: Random, places: int) -> Decimal:
    """Above 0 and below 1, with up to so many places."""
    step = Decimal(10) ** -random.choice([1, 2, 3, 4, places])
    return max(Decimal(random.random()).quantize(step) % 1, step)


def _limits(random: Random) -> Limits:
    chosen: dict[str, Any] = {"max_position": random.choice([Decimal(1), Decimal(1), _fraction(random, 12)])}
    for name in ("max_exposure", "max_daily_loss", "max_drawdown"):
        if random.random() < 0.3:
            chosen[name] = random.choice([_fraction(random, 12), Decimal("0.999999999")])
    return Limits(**chosen)


def _series(random: Random, money_step: Decimal, limits: Limits) -> Series:
    instrument = Instrument(
        "X",
        price_tick=Decimal(random.choice(["0.01", "0.01", "0.05", "0.03", "1", "0.00000001"])),
        lot_step=Decimal(random.choice(["0.00001", "0.025", "1", "1", "1000", "0.00000001"])),
        minimum_notional=Decimal(random.choice(["0", "5", "1000000000000"] if random.random() < 0.1 else ["0"])),
        money_step=money_step,
    )
    level = [None, None, None, 0.05, 0.05, 0.999, 0.0333333333]
    policy = Policy(
        max_position=1.0,
        risk_per_trade=1.0,
        stop_loss=random.choice(level),
        take_profit=random.choice([*level, 12345.6789]),
        trailing_stop=random.choice(level),
        cash_reserve=random.choice([0.0, 0.01]),
        quantity=random.choice([None, None, Decimal(10) ** random.randint(-3, 18)]),
        stop_fills_at_low=random.random() < 0.3,
    )
    costs = Costs(random.choice([Decimal(0), _fraction(random, 12)]), random.choice([Decimal(0), _fraction(random, 9)]))
    rows = random.randint(2, 12)
    price = random.choice([1, 1, 1, 3, 3, 100, 10**4, 10**7, 2**31 - 1, 10**12])
    explosions = random.choice([[], [3], [10**3], [10**6]])
    prices = []
    for _ in range(rows):
        # Sometimes a price explodes within a candle, or between two of them, and stays or comes back.
        jumps = [random.choice([1, 1, 1, 1, 0.9, 1.001, *explosions]) for _ in range(4)]
        path = [min(max(int(price * jump), 1), 10**18) for jump in jumps]
        price = random.choice([price, price, path[-1]]) if path[-1] < 10**16 else price
        prices.append((path[0], max(path), min(path), path[-1]))
    columns = np.array(prices, dtype=np.int64).T
    length = random.choice([60, 3600])
    return Series(
        Rules(instrument, costs, policy, limits),
        length,
        1733529600 + length * np.cumsum([random.choice([1, 1, 5]) for _ in range(rows)]).astype(np.int64),
        *(np.ascontiguousarray(column) for column in columns),
        np.array([random.choice([0, 1, 2, 2, 2]) for _ in range(rows)], dtype=np.int8),
        np.array([random.choice([1.0, random.random()]) for _ in range(rows)]),
        np.zeros(rows),
    )
