"""Runs of the agents that a user requests, through the same messages, in order, and once."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from engine.snapshot import Snapshot
from market.errors import MarketError
from market.models import Symbol
from trading.errors import NotNow
from trading.models import Account, Decision, Message
from trading.runtime.pipeline import Pipeline, make_pipeline
from trading.runtime.replay_clock import due
from trading.selectors.market_data import latest_snapshot
from trading.selectors.markets import Market, watched_markets
from trading.training.trainer import warm_up


@dataclass(frozen=True)
class MadeDecision:
    """`is_new` is False where the decision had been made before."""

    decision: Decision
    is_new: bool


@dataclass
class Cycle:
    """One run of the three agents for one account; no report while no price after the decision is known."""

    decision: Decision
    report: Message | None
    times: dict[str, datetime] = field(default_factory=dict)


@cache
def _own_agents() -> Pipeline:
    return make_pipeline()


_given: list[Pipeline] = []


def agents() -> Pipeline:
    """The agents of this process. Loaded models are kept between requests."""
    if _given:
        return _given[-1]
    if settings.REDIS_URL:
        from trading.runtime.tasks import pipeline  # these wake the workers; Celery takes 0.1 s to import

        return pipeline()
    return _own_agents()


def use(pipeline: Pipeline) -> None:
    """Serves requests by these agents from now on: those of the loop in the same process, with its sources."""
    _given[:] = [pipeline]


def decide_now(account: Account, symbol: Symbol, pipeline: Pipeline | None = None) -> MadeDecision:
    """The decision of the account on the newest snapshot of a symbol, made once. Raises NotNow."""
    interval = account.settings.interval
    snapshot = latest_snapshot(symbol, interval)
    if snapshot is None:
        raise NotNow("no_snapshot", f"There is no snapshot of {symbol} at {interval} yet.")
    if known := _decision(account, snapshot):
        return MadeDecision(known, is_new=False)
    maker = (pipeline or agents()).decision_maker
    # Before anything is locked: loading a model takes seconds, and a waiting snapshot needs all of them.
    warm_up(Market(symbol, interval), maker.predictor)
    maker.predictor.answer(Snapshot.from_json(snapshot.payload), account.settings.model_name)
    if snapshot.processed_at is None and not maker.adapter.work_on(snapshot, maker.handle):
        raise NotNow("agents_busy", f"The agents are still at work on {symbol}; ask again in a moment.")
    with transaction.atomic():
        published = maker.decide_for(account, snapshot)
    decision = _decision(account, snapshot)
    if published is None or decision is None:
        model = account.settings.model_name
        raise NotNow("no_model", f"There is no {model} model for {symbol} at {interval} yet.")
    return MadeDecision(decision, is_new=True)


def execute_now(decision: Decision, pipeline: Pipeline | None = None) -> Message | None:
    """Executes a decision if that has not been done. Its report, or None while no price is known.

    Raises MarketError where there is no source of prices.
    """
    message = Message.objects.get(key=f"decision:{decision.snapshot_id}:{decision.account_id}")
    if message.processed_at is None:
        pipeline = pipeline or agents()
        # Before anything is locked: a request to a source may take seconds.
        pipeline.fetch_quotes()
        pipeline.execution.adapter.work_on(message, pipeline.execution.handle)
        decision.refresh_from_db(fields=["status", "reason_code", "executed_at"])
    return message.effects.filter(type=Message.Type.EXECUTION_REPORT).first()


def run_cycle(account: Account, symbol: Symbol, pipeline: Pipeline | None = None) -> Cycle:
    """Market, decision and execution once; without a new candle, those of the last one. Raises NotNow, MarketError."""
    pipeline = pipeline or agents()
    times = {"started_at": timezone.now()}
    _publish_next(Market(symbol, account.settings.interval), pipeline)
    decision = decide_now(account, symbol, pipeline).decision
    report = execute_now(decision, pipeline)
    times |= {"market": decision.snapshot.created_at, "decision": decision.created_at}
    times |= {"execution": report.created_at} if report else {}
    return Cycle(decision, report, {**times, "finished_at": timezone.now()})


def _publish_next(market: Market, pipeline: Pipeline) -> None:
    """Unless the last candle is still being processed, or other replays of the account are behind this one."""
    pipeline.poll(market)
    pipeline.prepare(market)
    waiting = Message.objects.filter(symbol=market.symbol, interval=market.interval, processed_at=None, parked_at=None)
    if not waiting.exists() and (pipeline.is_live(market) or _is_due(market, pipeline)):
        pipeline.publish_next(market)


def _is_due(market: Market, pipeline: Pipeline) -> bool:
    others = [other for other in watched_markets() if other != market and _is_replayed(other, pipeline)]
    return market in due([market, *others], pipeline)


def _is_replayed(market: Market, pipeline: Pipeline) -> bool:
    try:
        return not pipeline.is_live(market)
    except MarketError:
        return False


def _decision(account: Account, snapshot: Message) -> Decision | None:
    decisions = Decision.objects.filter(account=account, snapshot=snapshot)
    return decisions.select_related("account", "symbol", "snapshot").first()
