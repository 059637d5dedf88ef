"""From probabilities to a decision: what to do, how sure, how risky, how much, and why in words."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from engine.indicators import Array
from engine.ledger import Book
from engine.orders import Action
from engine.snapshot import RSI_STATES, TRENDS, Snapshot

NO_DECISION = -1
"""In an array of actions: there was no snapshot, or no model, to decide on."""

REFERENCE_STOP = 0.05
"""The stop distance that risk is measured against when an account trades without a stop."""

RISK_PER_TRADE = {"low": 0.005, "medium": 0.01, "high": 0.02}
"""The fraction of equity that one position may lose at its stop, by risk level."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How an account trades; all fractions are of equity or of price, None switches a rule off.

    `cash_reserve` stays free at every entry: it pays the costs, and the gap up to the price of the fill. A fixed
    `quantity` replaces the sizing by equity, confidence and risk.
    """

    confidence_threshold: float = 0.5
    max_position: float = 0.5
    risk_per_trade: float = RISK_PER_TRADE["medium"]
    stop_loss: float | None = 0.05
    take_profit: float | None = 0.1
    trailing_stop: float | None = None
    cash_reserve: float = 0.01
    quantity: Decimal | None = None

    @property
    def protects(self) -> bool:
        """Whether a position gets any protective level."""
        return self.stop_loss is not None or self.take_profit is not None or self.trailing_stop is not None

    def __post_init__(self) -> None:
        for name in ("confidence_threshold", "max_position", "risk_per_trade", "cash_reserve"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        for name in ("stop_loss", "trailing_stop"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if self.take_profit is not None and not 0 < self.take_profit < float("inf"):
            raise ValueError(f"take_profit must be above 0, not {self.take_profit}")
        if self.quantity is not None and not self.quantity > 0:
            raise ValueError(f"quantity must be above 0, not {self.quantity}")


class Close(NamedTuple):
    """The market at the moment of a decision: the price, and the 20-candle deviation around it."""

    symbol: str
    time: datetime
    price: float
    volatility: float


class Decision(Struct, frozen=True, gc=False):
    """What the Decision Maker wants, at the close of a candle; `price` is that close, `quantity` is not yet in lots."""

    symbol: str
    time: datetime
    action: Action
    confidence: float
    risk_score: float
    quantity: float
    price: float

    def __post_init__(self) -> None:
        if not (0 <= self.confidence <= 1 and 0 <= self.risk_score <= 1):
            raise ValueError(f"confidence and risk must be from 0 to 1: {self}")
        if not (self.quantity >= 0 and self.price > 0):
            raise ValueError(f"a decision needs a price above zero and no negative quantity: {self}")


def choose(probabilities: Array, threshold: float) -> tuple[npt.NDArray[np.int8], Array]:
    """Action and confidence for rows of (SELL, HOLD, BUY): (n, 3) in, (n,) and (n,) out.

    BUY or SELL has to be likelier than both others and reach the threshold, or else it is HOLD. The confidence is the
    probability of the action taken. A row with NaN gives NO_DECISION.
    """
    sell, hold, buy = (probabilities[:, column] for column in Action)
    buys = (buy > sell) & (buy > hold) & (buy >= threshold)
    sells = (sell > buy) & (sell > hold) & (sell >= threshold)
    actions = np.full(len(probabilities), Action.HOLD, dtype=np.int8)
    actions[buys] = Action.BUY
    actions[sells] = Action.SELL
    actions[np.isnan(sell + hold + buy)] = NO_DECISION
    confidence = np.where(buys, buy, np.where(sells, sell, hold))
    return actions, confidence


def risk_score(confidence: float, volatility: float, price: float, policy: Policy) -> float:
    """0 (calm and sure) to 1: half the model's doubt, half how far recent noise reaches into the stop distance.

    `volatility` is the 20-candle deviation of the close: when it spans the whole distance, chance alone hits the stop.
    """
    reach = volatility / (price * (policy.stop_loss or REFERENCE_STOP))
    return 0.5 * (1.0 - confidence) + 0.5 * min(reach, 1.0)


def entry_size(
    price: float, volatility: float, confidence: float, equity: Decimal, cash: Decimal, policy: Policy
) -> float:
    """The quantity that a BUY asks for, not yet in lots."""
    if policy.quantity is not None:
        return float(policy.quantity)
    risk = risk_score(confidence, volatility, price, policy)
    return position_size(float(equity), float(cash), price, confidence, risk, policy)


def position_size(equity: float, cash: float, price: float, confidence: float, risk: float, policy: Policy) -> float:
    """The position limit, scaled by confidence and by what risk leaves, in units; never more than what loses
    `risk_per_trade` of the equity at the stop, or than there is cash for.
    """
    notional = equity * policy.max_position * confidence * (1.0 - risk)
    at_stop = equity * policy.risk_per_trade / (policy.stop_loss or REFERENCE_STOP)
    return min(notional, at_stop, cash * (1.0 - policy.cash_reserve)) / price


def decide(snapshot: Snapshot, probabilities: Array, book: Book, equity: Decimal, policy: Policy) -> Decision | None:
    """The decision on one snapshot for one account, or None where the model had no answer (NaN)."""
    actions, confidence = choose(probabilities.reshape(1, 3), policy.confidence_threshold)
    if actions[0] == NO_DECISION:
        return None
    values = snapshot.values
    close = Close(snapshot.symbol, snapshot.close_time, values["close"], values["volatility"])
    return decision_on(close, Action(int(actions[0])), float(confidence[0]), book, equity, policy)


def decision_on(
    close: Close, action: Action, confidence: float, book: Book, equity: Decimal, policy: Policy
) -> Decision:
    """The decision on an action already chosen.

    A SELL closes all that is held. A BUY on top of a position asks for nothing, like a HOLD.
    """
    symbol, time, price, volatility = close
    risk = risk_score(confidence, volatility, price, policy)
    held = book.positions.get(symbol)
    if action is Action.BUY and held is None:
        quantity = entry_size(price, volatility, confidence, equity, book.cash, policy)
    elif action is Action.SELL and held is not None:
        quantity = float(held.quantity)
    else:
        quantity = 0.0
    return Decision(symbol, time, action, confidence, risk, quantity, price)


def reasoning(decision: Decision, snapshot: Snapshot) -> str:
    """The decision in words, for people."""
    values = snapshot.values
    state = RSI_STATES[values["rsi_state"]]
    strength = values["strength"]
    grade = "Strong" if strength >= 0.6 else "Moderate" if strength >= 0.3 else "Weak"
    return (
        f"{decision.action.name} decision (confidence: {decision.confidence:.2f}). "
        f"Trend: {TRENDS[values['trend']].upper()}. RSI {state} ({values['rsi14']:.1f}). "
        f"{grade} trend (strength: {strength:.2f})"
    )


def decision_payload(decision: Decision, snapshot: Snapshot, model_type: str) -> dict[str, Any]:
    """The payload of a TRADE_DECISION message."""
    return {
        "action": decision.action.name,
        "ticker": decision.symbol,
        "confidence": decision.confidence,
        "reasoning": reasoning(decision, snapshot),
        "quantity": decision.quantity,
        "price": decision.price,
        "risk_score": decision.risk_score,
        "model_type": model_type,
    }
