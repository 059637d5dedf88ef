"""The loop without Celery: one process that takes all watched markets, replayed and live, through the agents."""

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from django.db import connection
from django.utils import timezone

from learning.apart import make_model_apart
from market.selectors import latest_candles
from trading.agents import journal
from trading.live.markets import has_unpublished
from trading.live.refresh import complete_requests
from trading.messages.adapter import OUTAGES
from trading.runtime.failures import DatabaseOutage, MarketFailures
from trading.runtime.heartbeat import LOOP, Heartbeat
from trading.runtime.housekeeping import Housekeeping
from trading.runtime.pipeline import Pipeline
from trading.runtime.replay_clock import due, ended, prepare
from trading.runtime.stop import Stop
from trading.selectors.markets import Market, watched_markets
from trading.training.continuous import learn_everywhere
from trading.training.trainer import Trainer

logger = logging.getLogger(__name__)

# Between two candles, messages of other processes are polled this often.
POLL_SECONDS = 1.0
IDLE_SECONDS = 0.2
RETRY_SECONDS = 30.0
READY_SECONDS = 10.0


@dataclass
class Runner:
    """`pace_seconds` for each candle; `say` gets a line for each change that an operator should know."""

    pace_seconds: float = 1.0
    pipeline: Pipeline = field(default_factory=Pipeline)
    stop: Stop = field(default_factory=Stop)
    say: Callable[[str], None] = logger.info

    def __post_init__(self) -> None:
        self.trainer = Trainer(
            self.pipeline.predictor,
            self.pipeline.prepare_training,
            learn=lambda: learn_everywhere(make_model_apart, self.pipeline.predictor),
        )
        self._prepared: set[Market] = set()
        self._ready_until: dict[Market, float] = {}
        self._failures = MarketFailures(self.say, RETRY_SECONDS)
        self._heartbeat = Heartbeat(LOOP)
        self._housekeeping = Housekeeping()

    def run(self) -> None:
        """Until `stop` is set, which is checked between two transactions."""
        freeze_garbage()
        outage = DatabaseOutage(self.say, self.stop)
        while not self.stop.is_set():
            begun = monotonic()
            try:
                played = self.cycle()
                self._rest(begun + (self.pace_seconds if played else max(self.pace_seconds, IDLE_SECONDS)))
                outage.is_over()
            except OUTAGES as error:
                outage.wait(error)
        connection.close()

    def cycle(self) -> int:
        """The next candle of each market that is due; how many replayed markets went on."""
        begun, watched, isolate = timezone.now(), watched_markets(), self._failures.isolate
        usable = [it for it in watched if not self._failures.is_paused(it) and isolate(it, self.pipeline.source)]
        live = [market for market in usable if self.pipeline.is_live(market)]
        self._follow(live)
        replayed = [market for market in usable if market not in live]
        replayed = [market for market in replayed if isolate(market, lambda it: self._prepare(it, replayed))]
        ready = [market for market in due(replayed, self.pipeline) if self.trainer.ready(market)]
        played = [market for market in ready if not self.stop.is_set() and isolate(market, self._play)]
        if not played:
            self._report_the_end(ended(replayed, self.pipeline))
        polling = self.pipeline.live.is_polling if self.pipeline.live else lambda market: False
        complete_requests((market for market in watched if not polling(market)), begun)
        return len(played)

    def _follow(self, markets: list[Market]) -> None:
        """Polls live markets and takes their new candles through the agents."""
        if self.pipeline.live is None:
            return
        self.pipeline.live.poll(markets)
        for market, error in self.pipeline.live.results():
            if error is None:
                self._observed(market)
            else:
                # Without a pause: `live` knows when to poll again, and stored candles can be published meanwhile.
                self._failures.report(market, error)
        for market in markets:
            self._failures.isolate(market, self._catch_up)

    def _catch_up(self, market: Market) -> None:
        # Models are loaded first, also where a stream in another process publishes.
        if not self._is_ready(market) or not has_unpublished(market):
            return
        while not self.stop.is_set() and self.pipeline.process_next(market):
            self._observed(market)

    def _is_ready(self, market: Market) -> bool:
        """Cached for READY_SECONDS: with a hundred markets it would be hundreds of queries in every cycle."""
        if monotonic() < self._ready_until.get(market, 0.0):
            return True
        if latest_candles(market.symbol, market.interval, 1).empty or not self.trainer.ready(market):
            return False
        self._ready_until[market] = monotonic() + READY_SECONDS
        return True

    def _prepare(self, market: Market, markets: list[Market]) -> None:
        if market not in self._prepared:
            prepare(market, markets, self.pipeline)
            self._prepared.add(market)

    def _play(self, market: Market) -> None:
        self.pipeline.process_next(market)
        self._observed(market)

    def _observed(self, market: Market) -> None:
        journal.observed(market.symbol, market.interval)
        self._failures.recovered(market)

    def _report_the_end(self, markets: list[Market]) -> None:
        for market in markets:
            if market not in self._failures.reported:
                self._failures.reported[market] = "the end"
                self.say(f"{market}: no candle is left to play")

    def _rest(self, until: float) -> None:
        while not self.stop.is_set():
            self._heartbeat.beat()
            self._housekeeping.run()
            self.trainer.work()
            self.pipeline.drain()
            if (left := until - monotonic()) <= 0:
                return
            self.stop.wait(min(left, POLL_SECONDS))


def freeze_garbage() -> None:
    """Excludes the objects that were loaded before the work begins from every later garbage collection."""
    gc.collect()
    gc.freeze()
