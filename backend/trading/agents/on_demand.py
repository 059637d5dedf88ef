"""What a user asks the agents for, here and now, under the same rules: through messages, in order, and once."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from engine.snapshot import Snapshot
from market.errors import MarketError
from market.models import Symbol
from trading.agents.pipeline import Market, Pipeline, watched_markets
from trading.errors import NotNow
from trading.live.feeds import make_pipeline
from trading.live.replay_clock import due
from trading.models import Account, Decision, Message
from trading.selectors.market_data import latest_snapshot
from trading.training.trainer import warm_up


@dataclass(frozen=True)
class Made:
    """A decision, and whether it was made just now."""

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
    """The agents of this process. Their models stay warm from one request to the next."""
    if _given:
        return _given[-1]
    if settings.REDIS_URL:
        from trading.runtime.tasks import pipeline  # these wake the workers; Celery takes half a second to import

        return pipeline()
    return _own_agents()


def use(pipeline: Pipeline) -> None:
    """From now on requests are served by these agents: those of the loop beside the web site, with its sources."""
    _given[:] = [pipeline]


def decide_now(account: Account, symbol: Symbol, pipeline: Pipeline | None = None) -> Made:
    """The decision of the account on the newest snapshot of a symbol; a snapshot is decided on once. Raises NotNow."""
    interval = account.settings.interval
    snapshot = latest_snapshot(symbol, interval)
    if snapshot is None:
        raise NotNow("no_snapshot", f"There is no snapshot of {symbol} at {interval} yet.")
    if known := _decision(account, snapshot):
        return Made(known, is_new=False)
    maker = (pipeline or agents()).decision_maker
    # Before anything is locked: a cold model takes seconds to become warm, and a waiting snapshot asks for all of them.
    warm_up(Market(symbol, interval), maker.predictor)
    maker.predictor.predict(Snapshot.from_json(snapshot.payload), account.settings.model_name)
    if snapshot.processed_at is None and not maker.adapter.work_on(snapshot, maker.handle):
        raise NotNow("agents_busy", f"The agents are still at work on {symbol}; ask again in a moment.")
    with transaction.atomic():
        told = maker.decide_for(account, snapshot)
    decision = _decision(account, snapshot)
    if told is None or decision is None:
        model = account.settings.model_name
        raise NotNow("no_model", f"There is no {model} model for {symbol} at {interval} yet.")
    return Made(decision, is_new=True)


def execute_now(decision: Decision, pipeline: Pipeline | None = None) -> Message | None:
    """Carries out a decision if that has not been done, and gives its one report; None while no price is known.

    Raises MarketError where there is no source of prices.
    """
    told = Message.objects.get(key=f"decision:{decision.snapshot_id}:{decision.account_id}")
    if told.processed_at is None:
        pipeline = pipeline or agents()
        # Before anything is locked: a source may take its time.
        pipeline.fetch_quotes()
        pipeline.execution.adapter.work_on(told, pipeline.execution.handle)
        decision.refresh_from_db(fields=["status", "reason_code", "executed_at"])
    return told.effects.filter(type=Message.Type.EXECUTION_REPORT).first()


def run_cycle(account: Account, symbol: Symbol, pipeline: Pipeline | None = None) -> Cycle:
    """Market, decision and execution once; without a new candle, what came of the last one. Raises as above."""
    pipeline = pipeline or agents()
    times = {"started_at": timezone.now()}
    _observe(Market(symbol, account.settings.interval), pipeline)
    decision = decide_now(account, symbol, pipeline).decision
    report = execute_now(decision, pipeline)
    times |= {"market": decision.snapshot.created_at, "decision": decision.created_at}
    times |= {"execution": report.created_at} if report else {}
    return Cycle(decision, report, {**times, "finished_at": timezone.now()})


def _observe(market: Market, pipeline: Pipeline) -> None:
    """The Market Monitor looks once, unless the last candle is not worked off or other replays are behind this one."""
    pipeline.look(market)
    pipeline.prepare(market)
    if _is_worked_off(market) and (pipeline.is_live(market) or _may_go_on(market, pipeline)):
        pipeline.tell(market)


def _is_worked_off(market: Market) -> bool:
    waiting = Message.objects.filter(symbol=market.symbol, interval=market.interval, processed_at=None, parked_at=None)
    return not waiting.exists()


def _may_go_on(market: Market, pipeline: Pipeline) -> bool:
    others = [other for other in watched_markets() if other != market and _is_played(other, pipeline)]
    return market in due([market, *others], pipeline)


def _is_played(market: Market, pipeline: Pipeline) -> bool:
    try:
        return not pipeline.is_live(market)
    except MarketError:
        return False


def _decision(account: Account, snapshot: Message) -> Decision | None:
    decisions = Decision.objects.filter(account=account, snapshot=snapshot)
    return decisions.select_related("account", "symbol", "snapshot").first()
