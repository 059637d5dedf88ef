"""One turn of all three agents, seen from one account."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import transaction

from market.models import Symbol
from trading.books.accounts import follow, start_agents, stop_agents
from trading.models import Account, Decision, Follow, Message, TradingSettings
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import Market
from trading.training.trainer import missing_models, train


@dataclass(frozen=True)
class Cycle:
    """What the agents said. `decision` and `report` are None where it did not come to that."""

    snapshot: Message
    decision: Decision | None
    report: Message | None


def prepared(account: Account, symbol: Symbol, pipeline: Pipeline) -> Market:
    """The market of a symbol for an account, with its history stored and its model trained. Raises MarketError."""
    market = Market(symbol, TradingSettings.objects.get(account=account).interval)
    pipeline.prepare(market)
    with trading(account, symbol):
        if missing := missing_models(market):
            pipeline.prepare_training(market)
        for model_type in missing:
            train(market, model_type)
    return market


def run_cycle(account: Account, market: Market, pipeline: Pipeline, execute: bool = True) -> Cycle | None:
    """The next candle of a market; None when there is none. What is not executed is taken back, candle and all.

    Raises MarketError where a live market cannot be looked at.
    """
    pipeline.look(market)
    with transaction.atomic() if not execute else _as_it_is():
        cycle = _seen(account, market) if pipeline.turn(market) else None
        if not execute:
            transaction.set_rollback(True)
    return cycle


@contextmanager
def trading(account: Account, symbol: Symbol) -> Iterator[None]:
    """The account follows the symbol and its agents run; afterwards it is as it was before."""
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


@contextmanager
def _as_it_is() -> Iterator[None]:
    """Each agent commits its own step."""
    yield


def _seen(account: Account, market: Market) -> Cycle | None:
    snapshots = Message.objects.filter(
        symbol=market.symbol, type=Message.Type.MARKET_SNAPSHOT, interval=market.interval
    )
    snapshot = snapshots.order_by("-pk").first()
    if snapshot is None:
        return None
    decision = Decision.objects.filter(account=account, snapshot=snapshot).first()
    reports = Message.objects.filter(type=Message.Type.EXECUTION_REPORT, account=account)
    return Cycle(snapshot, decision, reports.filter(correlation_id=snapshot.correlation_id).order_by("pk").last())
