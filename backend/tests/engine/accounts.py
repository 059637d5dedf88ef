"""Accounts, orders and rules for tests, and hypothesis strategies for them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from engine.decide import Decision
from engine.fills import fill
from engine.ledger import Book, apply
from engine.orders import Action, Fill, Instrument, Order, Reason
from engine.risk import Standing
from engine.terms import Costs, Limits, Policy, Rules

NOON = datetime(2024, 12, 7, 12, tzinfo=UTC)
BTC = Instrument("BTCUSDT", price_tick=Decimal("0.01"), lot_step=Decimal("0.00001"))


def order(action: Action = Action.BUY, quantity: str = "1", price: str = "100.00", symbol: str = "BTCUSDT") -> Order:
    return Order(symbol, action, Decimal(quantity), Decimal(price), Reason.SIGNAL)


def filled(action: Action, quantity: str, price: str, instrument: Instrument = BTC, costs: Costs | None = None) -> Fill:
    return fill(order(action, quantity, price), instrument, costs or Costs(), NOON)


def book_holding(quantity: str, price: str = "100.00", cash: str = "10000.00") -> Book:
    return apply(Book(Decimal(cash)), filled(Action.BUY, quantity, price))


def decision(action: Action = Action.BUY, quantity: float = 1.0, price: float = 100.0) -> Decision:
    return Decision("BTCUSDT", NOON, action, confidence=0.8, risk_score=0.2, quantity=quantity, price=price)


def standing(
    equity: str = "10000.00", peak: str | None = None, day_start: str | None = None, entries: int = 0
) -> Standing:
    return Standing(Decimal(equity), Decimal(peak or equity), Decimal(day_start or equity), entries)


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
    )


def limits() -> st.SearchStrategy[Limits]:
    """Mostly one limit or two: with all of them at once nothing is traded, and nothing is compared."""
    choices: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {"max_position": st.sampled_from([Decimal("0.5"), Decimal(1), Decimal(1)])},
        optional={
            "max_daily_loss": fractions("0.01"),
            "max_drawdown": fractions("0.05"),
            "max_entries_per_day": st.integers(0, 4),
            "max_open_positions": st.integers(0, 2),
            "max_quote_age_seconds": st.sampled_from([0.0, 3600.0, 90000.0]),
            "kill_switch": st.sampled_from([False] * 9 + [True]),
        },
    )
    return choices.map(lambda chosen: Limits(**chosen))


def instruments() -> st.SearchStrategy[Instrument]:
    steps = st.sampled_from([Decimal(step) for step in ("0.01", "0.05", "0.5", "0.0001", "0.00000001")])
    return st.builds(
        Instrument,
        symbol=st.just("BTCUSDT"),
        price_tick=steps,
        lot_step=st.sampled_from([Decimal("0.00001"), Decimal("0.025"), Decimal(1)]),
        minimum_notional=st.sampled_from([Decimal(0), Decimal(5), Decimal(500)]),
        money_step=st.sampled_from([Decimal("0.01"), Decimal("0.00000001")]),
    )


def costs() -> st.SearchStrategy[Costs]:
    return st.builds(Costs, fee_rate=st.decimals(0, "0.02", places=5), slippage_rate=st.decimals(0, "0.02", places=5))


def rules() -> st.SearchStrategy[Rules]:
    return st.builds(Rules, instrument=instruments(), costs=costs(), policy=policies(), limits=limits())
