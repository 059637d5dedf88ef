"""The agents on single candles, as the commands `test_agents` and `long_term_test` run them for one account."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from django.db import transaction

from market.models import Symbol
from trading.books.accounts import follow, start_agents, stop_agents
from trading.models import Account, Decision, Follow, Message, TradingSettings
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import Market
from trading.training.trainer import missing_models, train


@dataclass(frozen=True)
class CandleMessages:
    """What one candle led to. `decision` and `report` are None where there is none for the account."""

    snapshot: Message
    decision: Decision | None
    report: Message | None


def prepared_market(account: Account, symbol: Symbol, pipeline: Pipeline) -> Market:
    """The market of a symbol for an account, with its history stored and its models trained. Raises MarketError."""
    market = Market(symbol, TradingSettings.objects.get(account=account).interval)
    pipeline.prepare(market)
    with trading(account, symbol):
        if missing := missing_models(market):
            pipeline.prepare_training(market)
        for model_type in missing:
            train(market, model_type)
    return market


def process_candle(account: Account, market: Market, pipeline: Pipeline, execute: bool = True) -> CandleMessages | None:
    """None when there is no next candle. Without `execute` all is rolled back, the candle included.

    Raises MarketError where a live market cannot be polled.
    """
    pipeline.poll(market)
    with nullcontext() if execute else transaction.atomic():
        messages = _messages_of(account, market) if pipeline.process_next(market) else None
        if not execute:
            transaction.set_rollback(True)
    return messages


@contextmanager
def trading(account: Account, symbol: Symbol) -> Iterator[None]:
    """The account follows the symbol and its agents run; afterwards both are as they were before."""
    followed = Follow.objects.filter(account=account, symbol=symbol).exists()
    follow(account, [symbol])
    started = start_agents(account)
    try:
        yield
    finally:
        if started:
            stop_agents(account)
        if not followed:
            Follow.objects.filter(account=account, symbol=symbol).delete()


def _messages_of(account: Account, market: Market) -> CandleMessages | None:
    snapshots = Message.objects.filter(
        symbol=market.symbol, type=Message.Type.MARKET_SNAPSHOT, interval=market.interval
    )
    snapshot = snapshots.order_by("-pk").first()
    if snapshot is None:
        return None
    decision = Decision.objects.filter(account=account, snapshot=snapshot).first()
    reports = Message.objects.filter(type=Message.Type.EXECUTION_REPORT, account=account)
    return CandleMessages(
        snapshot, decision, reports.filter(correlation_id=snapshot.correlation_id).order_by("pk").last()
    )
