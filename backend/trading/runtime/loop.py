"""The loop without Celery: one process that takes all watched markets through the agents, played ones and live ones."""

import gc
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from django.db import connection
from django.utils import timezone

from engine.candles import CandleError
from learning.training.process import train_in_process
from market.errors import MarketError, gist, reason
from market.selectors import latest_candles
from trading.agents import journal
from trading.agents.pipeline import Market, Pipeline, watched_markets
from trading.live.candles import untold
from trading.live.refresh import looked_at
from trading.live.replay_clock import due, ended, prepare
from trading.messages.adapter import OUTAGES
from trading.runtime.heartbeat import LOOP, Heart
from trading.runtime.housekeeping import Housekeeper
from trading.runtime.stop import Stop
from trading.training.continuous import learn_everywhere
from trading.training.trainer import Trainer

logger = logging.getLogger(__name__)

# Between two candles: messages of other processes are looked for this often.
LOOK_SECONDS = 1.0
IDLE_SECONDS = 0.2
RETRY_SECONDS = 30.0
READY_SECONDS = 10.0
LONGEST_BACKOFF_SECONDS = 15.0


@dataclass
class Runner:
    """`pace_seconds` for each candle; `say` gets a line when something changes that people should know."""

    pace_seconds: float = 1.0
    pipeline: Pipeline = field(default_factory=Pipeline)
    stop: Stop = field(default_factory=Stop)
    say: Callable[[str], None] = logger.info

    def __post_init__(self) -> None:
        self.trainer = Trainer(self.pipeline.predictor, self.pipeline.prepare_training, learn=self._learn)
        self._prepared: set[Market] = set()
        self._told: dict[Market, str] = {}
        self._not_before: dict[Market, float] = {}
        self._ready_until: dict[Market, float] = {}
        self._outages = 0
        self._heart = Heart(LOOP)
        self._housekeeper = Housekeeper()

    def run(self) -> None:
        """Until it is stopped, which it notices between two transactions."""
        settle()
        while not self.stop.is_set():
            begun = monotonic()
            try:
                played = self.round()
                self._rest(begun + (self.pace_seconds if played else max(self.pace_seconds, IDLE_SECONDS)))
                self._database_is_back()
            except OUTAGES as error:
                self._wait_for_the_database(error)
        connection.close()

    def round(self) -> int:
        """The next candle of each market whose turn it is; how many were played."""
        begun, watched = timezone.now(), watched_markets()
        usable = [market for market in watched if self._is_usable(market)]
        live = [market for market in usable if self.pipeline.is_live(market)]
        self._follow(live)
        markets = [market for market in usable if market not in live]
        markets = [market for market in markets if self._within_its_edge(market, lambda it: self._prepare(it, markets))]
        turns = [market for market in due(markets, self.pipeline) if self.trainer.ready(market)]
        played = [market for market in turns if not self.stop.is_set() and self._within_its_edge(market, self._play)]
        if not played:
            self._tell_the_end(ended(markets, self.pipeline))
        looked_at((market for market in watched if not self._is_looked_at(market)), begun)
        return len(played)

    def _follow(self, markets: list[Market]) -> None:
        """Has asked for what is overdue in live markets, and tells what has come."""
        if self.pipeline.live is None:
            return
        self.pipeline.live.look(markets)
        for market, error in self.pipeline.live.looked():
            if error is None:
                self._goes_on(market)
            elif isinstance(error, OUTAGES):
                raise error
            else:
                # When it is asked again is known to `live`; what is stored can be told about meanwhile.
                self._failed(market, error, 0.0)
        for market in markets:
            self._within_its_edge(market, self._catch_up)

    def _catch_up(self, market: Market) -> None:
        # The models, too, where a stream in another process tells.
        if not self._is_ready(market) or untold(market) is None:
            return
        while not self.stop.is_set() and self.pipeline.turn(market):
            self._goes_on(market)

    def _is_ready(self, market: Market) -> bool:
        """Asked once in a while: with a hundred markets it would be hundreds of queries in every round."""
        if monotonic() < self._ready_until.get(market, 0.0):
            return True
        if latest_candles(market.symbol, market.interval, 1).empty or not self.trainer.ready(market):
            return False
        self._ready_until[market] = monotonic() + READY_SECONDS
        return True

    def _is_looked_at(self, market: Market) -> bool:
        """At this moment, so that who asked for it has to wait."""
        return self.pipeline.live is not None and self.pipeline.live.is_looking(market)

    def _learn(self) -> None:
        learn_everywhere(train_in_process, self.pipeline.predictor)

    def _prepare(self, market: Market, markets: list[Market]) -> None:
        if market not in self._prepared:
            prepare(market, markets, self.pipeline)
            self._prepared.add(market)

    def _play(self, market: Market) -> None:
        self.pipeline.turn(market)
        self._goes_on(market)

    def _goes_on(self, market: Market) -> None:
        journal.observed(market.symbol, market.interval)
        if self._told.pop(market, None):
            self.say(f"{_name(market)}: goes on")

    def _is_usable(self, market: Market) -> bool:
        if monotonic() < self._not_before.get(market, 0.0):
            return False
        return self._within_its_edge(market, self.pipeline.source)

    def _within_its_edge(self, market: Market, act: Callable[[Market], object]) -> bool:
        """The outermost edge of one market: whatever goes wrong inside is shown, and the other markets go on."""
        try:
            act(market)
        except OUTAGES:
            raise
        except Exception as error:
            self._failed(market, error)
            return False
        return True

    def _failed(self, market: Market, error: Exception, pause_seconds: float = RETRY_SECONDS) -> None:
        self._not_before[market] = monotonic() + pause_seconds
        if self._told.get(market) != gist(reason(error)):
            self._told[market] = gist(reason(error))
            expected = isinstance(error, (MarketError, CandleError))
            logger.log(logging.DEBUG if expected else logging.ERROR, "%s failed", _name(market), exc_info=error)
            journal.not_observed(market.symbol, market.interval, error)
            self.say(f"{_name(market)}: {error}")

    def _tell_the_end(self, markets: list[Market]) -> None:
        for market in markets:
            if market not in self._told:
                self._told[market] = "the end"
                self.say(f"{_name(market)}: no candle is left to play")

    def _rest(self, until: float) -> None:
        while not self.stop.is_set():
            self._heart.beat()
            self._housekeeper.work()
            self.trainer.work()
            self.pipeline.drain()
            if (left := until - monotonic()) <= 0:
                return
            self.stop.wait(min(left, LOOK_SECONDS))

    def _wait_for_the_database(self, error: Exception) -> None:
        if not self._outages:
            self.say(f"the database does not answer, trying again: {str(error).strip().splitlines()[0]}")
        self._outages += 1
        connection.close()
        self.stop.wait(min(0.5 * 2.0**self._outages, LONGEST_BACKOFF_SECONDS) * random.uniform(0.5, 1.0))  # noqa: S311

    def _database_is_back(self) -> None:
        if self._outages:
            self._outages = 0
            self.say("the database answers again")


def settle() -> None:
    """What a process has loaded before its work begins is no garbage, and need not be looked through ever again."""
    gc.collect()
    gc.freeze()


def _name(market: Market) -> str:
    return f"{market.symbol} {market.interval}"
