"""Celery's tasks: each loads by id, calls one service, and may run twice, late or never.

Only outages of the database are retried; any other failure is stored on its message or its market.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from celery import shared_task
from django.core.cache import cache as shared_cache
from django.utils import timezone

from market.models import Symbol
from market.selectors import latest_candles
from trading.agents import journal
from trading.agents.decision_maker import DecisionMaker
from trading.agents.execution_agent import ExecutionAgent
from trading.agents.market_monitor import MarketMonitor
from trading.live.markets import due_gaps, needs_work
from trading.live.refresh import complete_requests
from trading.messages.adapter import OUTAGES, DjangoAgentAdapter, waiting_markets
from trading.messages.wake import EXPIRES_SECONDS, wake_worker
from trading.models import AgentType
from trading.runtime.failures import MarketFailures
from trading.runtime.heartbeat import CELERY, beat
from trading.runtime.housekeeping import clean_up
from trading.runtime.pipeline import Pipeline, make_pipeline
from trading.runtime.replay_clock import due, prepare
from trading.selectors.markets import Market, is_late, newest_candles, watched_markets
from trading.training.continuous import learn_everywhere
from trading.training.trainer import missing_models, train, train_requested, warm_up

logger = logging.getLogger(__name__)

BATCHES = 50
TRAINING_PAUSE_SECONDS = 60
LEARNING_KEY, LEARNING_SECONDS = "continuous-learning", 3600
# As long as a task may take at most.
FOLLOWING_SECONDS = 60

RETRY: dict[str, Any] = {
    "autoretry_for": OUTAGES,
    "retry_backoff": 1,
    "retry_backoff_max": 30,
    "retry_jitter": True,
    "max_retries": 5,
}


class StaleMarket(Exception):
    """No candle has arrived for a long time."""


@cache
def pipeline() -> Pipeline:
    """The agents of this process; its models stay warm."""
    return pipeline_of()


def pipeline_of(mode: str | None = None) -> Pipeline:
    """Agents that wake the workers."""
    pipeline = make_pipeline(mode)
    pipeline.monitor = MarketMonitor(DjangoAgentAdapter(AgentType.MARKET_MONITOR, wake_worker))
    pipeline.decision_maker = DecisionMaker(
        pipeline.predictor, DjangoAgentAdapter(AgentType.DECISION_MAKER, wake_worker)
    )
    pipeline.execution = ExecutionAgent(pipeline.known_price, DjangoAgentAdapter(AgentType.EXECUTION, wake_worker))
    return pipeline


@shared_task(**RETRY)
def watch_markets() -> None:
    """Sends a task for each market with work to do. A market that fails is shown to its followers and left out."""
    begun, watched = timezone.now(), watched_markets()
    usable = [market for market in watched if _isolated(market, pipeline().source)]
    followed = [market for market in usable if pipeline().is_live(market)]
    gaps = due_gaps(begun) if followed else set()
    live = [it for it in followed if (it.symbol.pk, it.interval) in gaps or needs_work(it, begun)]
    for market in live:
        follow_market.apply_async((market.symbol.pk, market.interval), expires=EXPIRES_SECONDS)
    for market in followed:
        # Here too: where a stream publishes the candles, no task of this market may be sent.
        _waits_for_a_model(market)
    markets = [market for market in usable if market not in followed]
    markets = [market for market in markets if _isolated(market, lambda it: prepare(it, markets, pipeline()))]
    ready = due(markets, pipeline())
    complete_requests((market for market in watched if market not in ready and market not in live), begun)
    for market in ready:
        if not _waits_for_a_model(market):
            newest = latest_candles(market.symbol, market.interval, 1).index[-1].isoformat()
            observe_market.apply_async((market.symbol.pk, market.interval, newest), expires=EXPIRES_SECONDS)


@shared_task(**RETRY)
def observe_market(symbol_id: int, interval: str, newest: str) -> None:
    """Publishes the candles after that open time. Idempotent: a second or a late run publishes nothing."""
    market, after = Market(Symbol.objects.get(pk=symbol_id), interval), datetime.fromisoformat(newest)
    _isolated(market, lambda it: _publish(it, after))


@shared_task(**RETRY)
def follow_market(symbol_id: int, interval: str) -> None:
    """Polls a live market and publishes its new candles; no two runs of one market overlap."""
    market = Market(Symbol.objects.get(pk=symbol_id), interval)
    if shared_cache.add(_following(market), True, FOLLOWING_SECONDS):
        try:
            _isolated(market, _follow)
        finally:
            shared_cache.delete(_following(market))


@shared_task(**RETRY)
def decide() -> None:
    """The messages that wait for the Decision Maker."""
    for market in waiting_markets(AgentType.DECISION_MAKER):
        warm_up(Market(*market), pipeline().predictor)
    _work(pipeline().decision_maker.work)


@shared_task(**RETRY)
def execute() -> None:
    """The messages that wait for the Execution Agent; then the next candle of those markets can be decided on."""
    if _work(pipeline().execute) and waiting_markets(AgentType.DECISION_MAKER):
        wake_worker(AgentType.DECISION_MAKER)


@shared_task(**RETRY, time_limit=3600, soft_time_limit=3500)
def train_model(symbol_id: int, interval: str, model_type: str) -> None:
    """The first model of a market."""
    market = Market(Symbol.objects.get(pk=symbol_id), interval)
    if model_type not in missing_models(market):
        return
    _isolated(market, pipeline().reach_back)
    if train(market, model_type) is None:
        shared_cache.set(_untrainable(market, model_type), True, TRAINING_PAUSE_SECONDS)


@shared_task(**RETRY, time_limit=3600, soft_time_limit=3500)
def train_requested_models() -> None:
    """The trainings that users have requested over the API."""
    while train_requested(pipeline().prepare_training):
        pass


@shared_task(**RETRY, time_limit=3600, soft_time_limit=3500)
def train_challengers() -> None:
    """Reviews the champions and trains challengers, in one worker at a time."""
    if shared_cache.add(LEARNING_KEY, True, LEARNING_SECONDS):
        try:
            learn_everywhere()
        finally:
            shared_cache.delete(LEARNING_KEY)


@shared_task(**RETRY)
def check_stale() -> None:
    """Shows on the Market Monitor of their followers which markets have had no new candle for three intervals."""
    now = timezone.now()
    for market, newest in newest_candles(watched_markets()).items():
        if is_late(market, newest, now):
            last = newest.close_time if newest.is_live else newest.first_seen
            error = StaleMarket(f"no new candle since {last:%Y-%m-%d %H:%M} UTC")
            journal.not_observed(market.symbol, market.interval, error)


@shared_task(**RETRY)
def housekeeping() -> None:
    clean_up()


@shared_task
def heartbeat() -> None:
    """Shows that beat and a worker are alive; `check_celery` and the readiness probe read its age."""
    beat(CELERY)


def _work(work: Callable[[], int]) -> int:
    """Up to BATCHES batches, so that other tasks are not delayed; the next sweep does the rest."""
    done = 0
    for _ in range(BATCHES):
        if not (claimed := work()):
            break
        done += claimed
    return done


def _publish(market: Market, after: datetime) -> None:
    begun, source = timezone.now(), pipeline().replay(market)
    fresh = source.closed_after(after)
    # Where a later candle is stored, it was published in the same transaction: this task came late or twice.
    is_news = latest_candles(market.symbol, market.interval, 1).index[-1].to_pydatetime() == after
    if is_news and not fresh.empty and not _waits_for_a_model(market):
        pipeline().monitor.publish(market.symbol, market.interval, fresh, source.name)
    journal.observed(market.symbol, market.interval)
    complete_requests([market], begun)


def _follow(market: Market) -> None:
    begun = timezone.now()
    pipeline().poll(market)
    journal.observed(market.symbol, market.interval)
    complete_requests([market], begun)
    if not _waits_for_a_model(market):
        while pipeline().publish_next(market):
            pass


def _following(market: Market) -> str:
    return f"following:{market.symbol.pk}:{market.interval}"


def _isolated(market: Market, act: Callable[[Market], object]) -> bool:
    # Earlier failures are not kept: another process may have recorded the recovery.
    return MarketFailures(logger.warning).isolate(market, act)


def _waits_for_a_model(market: Market) -> bool:
    """Sends the training of missing models. One that cannot be trained delays its market only until that is known."""
    names = [name for name in missing_models(market) if not shared_cache.get(_untrainable(market, name))]
    for name in names:
        if shared_cache.add(f"training:{market.symbol.pk}:{market.interval}:{name}", True, TRAINING_PAUSE_SECONDS):
            train_model.apply_async((market.symbol.pk, market.interval, name))
    return bool(names)


def _untrainable(market: Market, model_type: str) -> str:
    return f"untrainable:{market.symbol.pk}:{market.interval}:{model_type}"
