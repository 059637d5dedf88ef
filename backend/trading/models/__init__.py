"""Accounts, the Message table, and everything that follows from a decision.

A foreign key has no index of its own (`db_index=False`) where another index begins with it.
"""

from trading.models.accounts import RISK_LEVELS, Account, Follow, Mode, TradingSettings
from trading.models.agents import AgentLog, AgentState
from trading.models.books import CashEntry, Decision, EquityPoint, Order, Position, SessionRecord, Trade
from trading.models.messages import AgentType, Message
from trading.models.requests import IdempotentAnswer, RefreshRequest

__all__ = [
    "RISK_LEVELS",
    "Account",
    "AgentLog",
    "AgentState",
    "AgentType",
    "CashEntry",
    "Decision",
    "EquityPoint",
    "Follow",
    "IdempotentAnswer",
    "Message",
    "Mode",
    "Order",
    "Position",
    "RefreshRequest",
    "SessionRecord",
    "Trade",
    "TradingSettings",
]
