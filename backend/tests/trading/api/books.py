"""Small books: accounts that trade a market whose every price is known, and rows made by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import numpy as np
import pytest
from django.db.models import F

from market.services import add_symbol
from tests.api import api_client
from tests.markets import made_candles
from tests.trading.markets import PlayedSource, market, pipeline, running_account, told
from trading.models import Account, AgentType, Decision, Message, Order, Position, Trade
from trading.selectors.portfolio import worth

HISTORY = 60
ANSWERS = {"B": [0.1, 0.1, 0.8], "S": [0.8, 0.1, 0.1], ".": [0.1, 0.8, 0.1]}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
_numbers = count(1)


class Book:
    """Ann's account in a market of hourly candles: 60 that are known, then those whose closes are given.

    `signals` says what the model makes of each: B, S or a dot. A candle opens at the close before, so an order is
    filled at the last close that was played.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, closes: list[float], signals: str = "", **settings) -> None:
        known = [100.0 + (row % 3 - 1) * 0.25 for row in range(HISTORY - 1)] + [100.0]
        candles = made_candles([*known, *closes])
        answers = np.array([ANSWERS[signal] for signal in signals.ljust(len(closes), ".")])
        self.account = running_account(**settings)
        self.client = api_client(self.account.user)
        self.pipeline = pipeline(PlayedSource(candles, HISTORY), told(candles.index[HISTORY:], answers))
        self.pipeline.prepare(market())
        monkeypatch.setattr("trading.runtime.on_demand.agents", lambda: self.pipeline)

    def play(self, candles: int = 1) -> None:
        for _ in range(candles):
            assert self.pipeline.process_next(market())

    def order(self, action: str, quantity: object, key: str = "", symbol: str = "BTCUSDT"):
        headers = {"Idempotency-Key": key} if key else {}
        body = {"action": action, "symbol": symbol, "quantity": quantity}
        return self.client.post("/api/trading/demo/orders/", body, headers=headers)

    def get(self, path: str, **parameters):
        answer = self.client.get(f"/api/trading/{path}", parameters)
        assert answer.status_code == 200, answer.content
        return answer.json()


@pytest.fixture
def book(db, monkeypatch: pytest.MonkeyPatch, quick_passwords, unthrottled) -> Book:
    """Candles that close at 110, 99, 120 and 120, none of which has been played."""
    return Book(monkeypatch, [110.0, 99.0, 120.0, 120.0, 120.0], stop_loss=None, take_profit=None)


def make_decision(account: Account, symbol: str = "BTCUSDT", time: datetime = NOON, **fields) -> Decision:
    """A decision on a snapshot of its own; HOLD and pending unless it is said otherwise."""
    instrument, number = add_symbol(symbol), next(_numbers)
    snapshot = Message.objects.create(
        key=f"snapshot:{number}",
        type=Message.Type.MARKET_SNAPSHOT,
        sender=AgentType.MARKET_MONITOR,
        recipient=AgentType.DECISION_MAKER,
        payload={"indicators": {"sma10": 100.5}, "analysis": {"trend": "bull", "strength": 0.75}},
        symbol=instrument,
        interval="1h",
        processed_at=time,
    )
    values = {
        "action": "HOLD",
        "confidence": 0.6543,
        "risk_score": 0.25,
        "quantity": 0.0,
        "price": 100.0,
        "reasoning": "HOLD decision",
        "model_type": "random_forest",
        "model_version": "f00d",
        "explanation": {"probabilities": {"SELL": 0.2, "HOLD": 0.6543, "BUY": 0.1457}, "features": {"close": 100.0}},
    }
    return Decision.objects.create(
        account=account,
        symbol=instrument,
        interval="1h",
        close_time=time,
        created_at=time,
        snapshot=snapshot,
        **values | fields,
    )


def make_trade(
    account: Account, action: str = "BUY", pnl: object = None, time: datetime = NOON, symbol: str = "BTCUSDT", **fields
) -> Trade:
    """One unit at 100, for a commission of 0.10; a SELL has cost 100 and earns `pnl`."""
    instrument = add_symbol(symbol)
    sold = action == "SELL"
    order = Order.objects.create(
        account=account,
        symbol=instrument,
        client_order_id=f"made-{next(_numbers)}",
        action=action,
        quantity=1,
        requested_price=100,
        reason="signal",
    )
    values = {"quantity": 1, "price": 100, "slippage": 0, "amount": 100, "commission": Decimal("0.1")}
    return Trade.objects.create(
        order=order,
        account=account,
        symbol=instrument,
        action=action,
        timestamp=time,
        pnl=Decimal(str(pnl or 0)) if sold else None,
        cost=Decimal(100) if sold else None,
        **values | fields,
    )


def make_position(account: Account, symbol: str = "BTCUSDT", time: datetime = NOON, **fields) -> Position:
    """One unit bought for 100, worth 101, which the equity counts; a closed one has earned 5 on 100."""
    values = {"quantity": 1, "cost": 100, "entry_price": 100, "mark": 101.0, "high": 101.0}
    if fields.get("closed_at"):
        values |= {"quantity": 0, "cost": 0, "pnl": 5, "sold_cost": 100}
    position = Position(account=account, symbol=add_symbol(symbol), opened_at=time, **values | fields)
    position.save()
    position.refresh_from_db()
    if position.closed_at is None:
        Account.objects.filter(pk=account.pk).update(
            equity=F("equity") + worth(position.symbol.symbol, position.quantity, position.mark)
        )
    return position


def hours(number: float) -> timedelta:
    return timedelta(hours=number)
