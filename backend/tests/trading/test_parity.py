"""The agents over the Message table and the engine's replay: the same decisions, trades, refusals and cash."""

from decimal import Decimal
from pathlib import Path

import pytest

from engine.indicators import WINDOW
from engine.jump import OUTCOMES, Replay, replay
from engine.orders import Costs
from engine.risk import Rules
from engine.snapshot import market_frame
from market.instruments import stored_instrument
from tests.engine.accounts import moody_probabilities
from tests.markets import real_candles
from tests.trading.markets import CASH, PlayedSource, market, pipeline, running_account, told
from trading.books.session import limits_of, policy_of
from trading.models import Account, CashEntry, Decision, Message, Position, Trade, TradingSettings

HISTORY, PLAYED = WINDOW, 120

SETTINGS = [
    {"stop_loss": None, "take_profit": None},
    {"stop_loss": Decimal("0.005"), "take_profit": Decimal("0.01"), "max_entries_per_day": 3},
    {
        "stop_loss": None,
        "take_profit": Decimal("0.02"),
        "trailing_stop": Decimal("0.004"),
        "max_daily_loss": Decimal("0.0005"),
        "max_drawdown": Decimal("0.003"),
    },
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("chosen", SETTINGS)
def test_agents_and_replay_agree_to_the_last_digit(real_data: Path, chosen: dict[str, object]) -> None:
    candles = real_candles(real_data, "BTCUSDT_1h").iloc[300 : 300 + HISTORY + PLAYED]
    account = running_account(confidence_threshold=Decimal("0.4"), **chosen)
    probabilities = moody_probabilities(PLAYED, seed=7)
    agents = pipeline(PlayedSource(candles, HISTORY), told(candles.index[HISTORY:], probabilities))
    while agents.turn(market()):
        pass
    assert_same_books(account, replayed(account, candles, probabilities))


def replayed(account: Account, candles, probabilities) -> Replay:
    chosen = TradingSettings.objects.get(account=account)
    rules = Rules(stored_instrument(market().symbol), Costs(), policy_of(chosen), limits_of(chosen))
    volatility = market_frame(candles)["volatility"].to_numpy()[HISTORY:]
    return replay(candles.iloc[HISTORY:], probabilities, volatility, "1h", rules, CASH)


def assert_same_books(account: Account, expected: Replay) -> None:
    decided = Decision.objects.filter(account=account).order_by("pk")
    outcomes = [OUTCOMES[number] for number in expected.outcomes if OUTCOMES[number] != "none"]
    told_outcomes = ["executed" if row.status == "executed" else row.reason_code or row.status for row in decided]
    assert told_outcomes == outcomes
    trades = Trade.objects.filter(account=account).select_related("order").order_by("pk")
    assert [
        (
            row.timestamp,
            row.action,
            row.quantity,
            row.price,
            row.amount,
            row.commission,
            row.slippage,
            row.pnl,
            row.order.reason,
        )
        for row in trades
    ] == [
        (
            trade.fill.time,
            trade.fill.order.action.name,
            trade.fill.order.quantity,
            trade.fill.price,
            trade.fill.amount,
            trade.fill.commission,
            trade.fill.slippage,
            trade.profit,
            trade.fill.order.reason,
        )
        for trade in expected.trades
    ]
    assert len(expected.trades) > 4
    account.refresh_from_db()
    assert account.cash == expected.book.cash
    assert account.realised == expected.book.realised
    assert account.equity == expected.holdings.equity_at(PLAYED - 1)
    assert CashEntry.objects.filter(account=account).order_by("pk").last().balance == account.cash
    held = sum((row.cost for row in Position.objects.filter(account=account, closed_at=None)), Decimal(0))
    assert CASH + account.realised == account.cash + held
    waiting = Message.objects.filter(processed_at=None)
    # Only what was decided at the last candle: its price has not come yet.
    assert {row.type for row in waiting} <= {Message.Type.TRADE_DECISION}
    assert waiting.count() <= 1
