"""Accounts, instruments, rules and histories for tests, and hypothesis strategies for them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import strategies as st

from engine.history import Series
from engine.ledger import FLAT, Books, Holding, opened
from engine.orders import NO_DECISION, Instrument
from engine.terms import Costs, Limits, Policy, Rules, Terms, terms_of
from tests.markets import Array

BTC = Instrument("BTCUSDT", price_tick=Decimal("0.01"), lot_step=Decimal("0.00001"))
CENTS = Instrument("CENTS", price_tick=Decimal("0.01"), lot_step=Decimal(1))
"""A price in ticks times a quantity in lots is an amount in cents."""

FREE: dict[str, Any] = {"stop_loss": None, "take_profit": None, "trailing_stop": None}
NO_COSTS = Costs(Decimal(0), Decimal(0))
WHOLE = Limits(max_position=Decimal(1))
CASH = 1_000_000
"""10,000.00 in cents."""


def terms(
    instrument: Instrument = CENTS, costs: Costs | None = None, limits: Limits = WHOLE, **policy: Any
) -> Terms:  # fmt: skip
    return terms_of(Rules(instrument, costs or Costs(), Policy(**{**FREE, **policy}), limits))


def account(cash: int = CASH, **changed: int) -> Books:
    return opened(cash)._replace(**changed)


def holding(lots: int, mark: int = 10_000, **changed: int) -> Holding:
    return FLAT._replace(lots=lots, cost=lots * mark, mark=mark, high=mark, **changed)


def moody_probabilities(rows: int, seed: int) -> Array:
    """A model that changes its mind now and then, and sometimes has no answer."""
    rng = np.random.default_rng(seed)
    moods = rng.dirichlet([0.7, 0.5, 0.7], size=rows)
    kept = np.maximum.accumulate(np.where(rng.random(rows) < rng.uniform(0.02, 1.0), np.arange(rows), 0))
    probabilities = moods[kept]
    probabilities[rng.random(rows) < 0.02] = np.nan
    return probabilities


def fractions(largest: str = "0.2") -> st.SearchStrategy[Decimal]:
    return st.decimals("0.0001", largest, places=4)


def policies() -> st.SearchStrategy[Policy]:
    levels = st.none() | st.floats(0.0005, 0.2)
    return st.builds(
        Policy,
        confidence_threshold=st.floats(0.0, 0.9),
        max_position=st.floats(0.01, 1.0),
        risk_per_trade=st.floats(0.001, 1.0),
        stop_loss=levels,
        take_profit=levels,
        trailing_stop=levels,
        cash_reserve=st.sampled_from([0.0, 0.01]),
        quantity=st.none() | st.decimals("0.001", "50", places=3),
        stop_fills_at_low=st.booleans(),
    )


def limits() -> st.SearchStrategy[Limits]:
    """Mostly one limit or two: with all of them at once nothing is traded, and nothing is compared."""
    choices: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {"max_position": st.sampled_from([Decimal("0.5"), Decimal(1), Decimal(1)])},
        optional={
            "max_exposure": st.sampled_from([Decimal("0.05"), Decimal("0.333333"), Decimal(1)]),
            "max_daily_loss": fractions("0.01"),
            "max_drawdown": fractions("0.05"),
            "max_entries_per_day": st.integers(0, 4),
            "max_open_positions": st.integers(0, 2),
            "max_quote_age_seconds": st.sampled_from([0.0, 3600.0, 90000.0]),
            "kill_switch": st.sampled_from([False] * 9 + [True]),
        },
    )
    return choices.map(lambda chosen: Limits(**chosen))


MONEY_STEPS = st.sampled_from([Decimal("0.01"), Decimal("0.00000001")])


def instruments(money_step: st.SearchStrategy[Decimal] = MONEY_STEPS) -> st.SearchStrategy[Instrument]:
    steps = st.sampled_from([Decimal(step) for step in ("0.01", "0.05", "0.5", "0.0001", "0.00000001")])
    return st.builds(
        Instrument,
        symbol=st.just("BTCUSDT"),
        price_tick=steps,
        lot_step=st.sampled_from([Decimal("0.00001"), Decimal("0.025"), Decimal(1)]),
        minimum_notional=st.sampled_from([Decimal(0), Decimal(5), Decimal(500)]),
        money_step=money_step,
    )


def costs() -> st.SearchStrategy[Costs]:
    return st.builds(Costs, fee_rate=st.decimals(0, "0.02", places=5), slippage_rate=st.decimals(0, "0.02", places=5))


def rules(instrument: st.SearchStrategy[Instrument] | None = None) -> st.SearchStrategy[Rules]:
    chosen = instruments() if instrument is None else instrument
    return st.builds(Rules, instrument=chosen, costs=costs(), policy=policies(), limits=limits())


@dataclass(frozen=True)
class Market:
    """How the random candles of one instrument are made. `start` is in units of the price, not in ticks."""

    rows: int
    start: float
    swing: float
    length: int
    delay: int
    gaps: float
    eagerness: float


def markets(largest: int = 60) -> st.SearchStrategy[Market]:
    return st.builds(
        Market,
        rows=st.integers(0, largest),
        start=st.sampled_from([0.00000123, 0.5, 3.0, 100.0, 58025.11]),
        swing=st.sampled_from([0.002, 0.02, 0.2]),
        length=st.sampled_from([60, 300, 3600, 86400]),
        delay=st.sampled_from([0, 0, 60, 86100, 5 * 3600]),
        gaps=st.sampled_from([0.0, 0.1]),
        eagerness=st.sampled_from([0.1, 0.4]),
    )


def random_series(market: Market, rules: Rules, seed: int) -> Series:
    """Candles that jump between close and open, lack some of their times, and are now and then shorter than usual."""
    rng = np.random.default_rng(seed)
    n, swing, tick = market.rows, market.swing, float(rules.instrument.price_tick)
    open_ = market.start * np.exp(np.cumsum(rng.normal(0, swing, n)))
    close = open_ * np.exp(rng.normal(0, swing, n))
    high = np.maximum(open_, close) * (1 + rng.exponential(swing / 2, n))
    low = np.minimum(open_, close) / (1 + rng.exponential(swing / 2, n))
    away = np.where(rng.random(n) < market.gaps, rng.integers(1, 30, n), 0) * market.length
    short = np.where(rng.random(n) < 0.02, market.length // 24, 0)
    # Midnight of 7 December 2024: a day ends within the history whatever the interval is.
    times = 1733529600 - 20 * market.length + market.delay + np.cumsum(market.length + away - short)
    eager = market.eagerness
    return Series(
        rules,
        market.length,
        times.astype(np.int64),
        *(ticks_of(prices, tick) for prices in (open_, high, low, close)),
        rng.choice([NO_DECISION, 0, 1, 2], n, p=[0.05, eager, 0.95 - 2 * eager, eager]).astype(np.int8),
        rng.uniform(0, 1, n),
        rng.exponential(0.02, n),
    )


def ticks_of(prices: Array, tick: float) -> np.ndarray:
    return np.maximum(np.rint(prices / tick), 1).astype(np.int64)


@st.composite
def accounts(draw: st.DrawFn, most: int = 3, largest: int = 60) -> tuple[list[Series], int]:
    """The series of one to three instruments on one account, and its cash in money steps."""
    money_step, shared = draw(MONEY_STEPS), draw(limits())
    series = []
    for _ in range(draw(st.integers(1, most))):
        own = draw(rules(instruments(st.just(money_step))))
        own = Rules(own.instrument, own.costs, own.policy, shared)
        series.append(random_series(draw(markets(largest)), own, draw(st.integers(0, 10**6))))
    cash = draw(st.sampled_from([Decimal(1), Decimal(100), Decimal(10_000), Decimal(10_000), Decimal(1_000_000)]))
    return series, int(cash / money_step)
