"""From probabilities to a decision: action, confidence, risk score, lots, and the reasons in words."""

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.ledger import Books, Holding
from engine.orders import BUY, NO_DECISION, SELL, Action, Array
from engine.snapshot import RSI_STATES, TRENDS, Snapshot
from engine.terms import OFF, Terms


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


def risk_score(confidence: float, noise: float, stop_distance: float) -> float:
    """0 (calm and sure) to 1: half the model's doubt, half how far recent noise reaches into the stop distance.

    `noise` is the 20-candle deviation of the close as a fraction of it: when it spans the whole distance, chance alone
    reaches the stop.
    """
    return 0.5 * (1.0 - confidence) + 0.5 * min(noise / stop_distance, 1.0)


def proposed_lots(a: Books, h: Holding, action: int, close: int, confidence: float, noise: float, t: Terms) -> int:
    """How many lots a decision at the close asks for; OFF where they are more than `largest_lots`.

    A SELL asks for all that is held. A BUY on top of a position asks for nothing, like a HOLD. Otherwise a BUY asks for
    the fixed quantity, or for the position limit scaled by confidence and by what risk leaves, but never for more than
    what loses `risk_per_trade` of the equity at the stop, nor than there is cash for beside the reserve.
    """
    if action == SELL:
        return h.lots
    if action != BUY or h.lots > 0:
        return 0
    if t.fixed_lots != OFF:
        return t.fixed_lots if t.fixed_lots <= t.largest_lots else OFF
    equity = float(a.cash + a.worth)
    share = t.max_position * confidence * (1.0 - risk_score(confidence, noise, t.stop_distance))
    at_stop = equity * t.risk_per_trade / t.stop_distance
    money = min(equity * share, at_stop, float(a.cash) * (1.0 - t.cash_reserve))
    size = money * t.unit_d / (close * t.unit_n)
    return int(size) if size <= t.largest_lots else OFF


def reasoning(action: Action, confidence: float, snapshot: Snapshot) -> str:
    """The decision in words."""
    values = snapshot.values
    state = RSI_STATES[values["rsi_state"]]
    strength = values["strength"]
    grade = "Strong" if strength >= 0.6 else "Moderate" if strength >= 0.3 else "Weak"
    return (
        f"{action.name} decision (confidence: {confidence:.2f}). "
        f"Trend: {TRENDS[values['trend']].upper()}. RSI {state} ({values['rsi14']:.1f}). "
        f"{grade} trend (strength: {strength:.2f})"
    )


def decision_payload(
    action: Action,
    confidence: float,
    risk: float,
    quantity: Decimal,
    reasoning: str,
    snapshot: Snapshot,
    model_type: str,
) -> dict[str, Any]:
    """The payload of a TRADE_DECISION message; `price` is the close that was decided on."""
    return {
        "action": action.name,
        "ticker": snapshot.symbol,
        "confidence": confidence,
        "reasoning": reasoning,
        "quantity": float(quantity),
        "price": snapshot.values["close"],
        "risk_score": risk,
        "model_type": model_type,
    }
