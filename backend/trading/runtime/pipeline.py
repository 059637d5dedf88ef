"""The three agents in one process, in replayed and in live markets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from learning.serving import Predictor
from market.errors import MarketError
from market.models import Symbol
from market.selectors import latest_candles
from market.sources.base import Price
from market.sources.replay import ReplaySource
from trading.agents.decision_maker import DecisionMaker
from trading.agents.execution_agent import ExecutionAgent
from trading.agents.market_monitor import MarketMonitor
from trading.live.feeds import Feeds, Files, keep_up, price_now, reach_back, review
from trading.live.markets import (
    LiveFeed,
    LiveMarkets,
    UnpublishedCandle,
    has_unpublished,
    live_facts,
    next_unpublished,
    publication_lock,
)
from trading.models import Message
from trading.selectors.markets import Market

Sources = Callable[[str, str], ReplaySource | LiveFeed]


@dataclass
class Pipeline:
    """Celery runs the same agents, each on its own queue."""

    sources: Sources = ReplaySource.of_file
    predictor: Predictor = field(default_factory=Predictor)
    live: LiveMarkets | None = None

    def __post_init__(self) -> None:
        self.monitor = MarketMonitor()
        self.decision_maker = DecisionMaker(self.predictor)
        self.execution = ExecutionAgent(self.known_price)

    def known_price(self, symbol: Symbol, interval: str, after: datetime) -> Price | None:
        """The first price after a time, or None while there is none. Sends no request: the caller holds locks."""
        return self.sources(symbol.symbol, interval).first_price_after(after)

    def quote(self, symbol: Symbol, interval: str, after: datetime) -> Price | None:
        """The same, with a request to the source where the market is live. Raises MarketError."""
        if self.live is not None and isinstance(self.sources(symbol.symbol, interval), LiveFeed):
            self.live.quotes.fetch({symbol: self.live.now()})
            if isinstance(problem := self.live.quotes.problems.get(symbol.symbol), MarketError):
                raise problem
        return self.known_price(symbol, interval, after)

    def source(self, market: Market) -> ReplaySource | LiveFeed:
        """Raises MarketError where there is none."""
        return self.sources(market.symbol.symbol, market.interval)

    def is_live(self, market: Market) -> bool:
        return isinstance(self.source(market), LiveFeed)

    def replay(self, market: Market) -> ReplaySource:
        """The source of a replayed market. Raises TypeError for a live one."""
        source = self.source(market)
        if not isinstance(source, ReplaySource):
            raise TypeError(f"{market} is live")
        return source

    def prepare(self, market: Market) -> None:
        """Stores the history before the first candle, so that models can be trained on it."""
        if not self.is_live(market):
            self.monitor.prepare(market.symbol, market.interval, self.replay(market))
            return
        if self.live is not None and latest_candles(market.symbol, market.interval, 1).empty:
            self.live.poll_now(market)
        self.monitor.learn_tick(market.symbol, market.interval)

    def prepare_training(self, market: Market) -> None:
        """The same, and for a live market the month before, as far as its source has it."""
        self.prepare(market)
        self.reach_back(market)

    def reach_back(self, market: Market) -> None:
        """Stores the month before the oldest stored candle of a live market, as far as its source has it."""
        if self.live is not None and self.is_live(market):
            self.live.reach_back(market)

    def poll(self, market: Market) -> None:
        """Stores the candles that have closed in a live market. Raises MarketError."""
        if self.live is not None and self.is_live(market):
            self.live.poll_now(market)

    def process_next(self, market: Market) -> bool:
        """Takes the next candle of a market all the way to its execution reports. False when there is none."""
        published = self.publish_next(market)
        self.drain()
        return published

    def publish_next(self, market: Market) -> bool:
        """Has the Market Monitor publish the next candle. False when there is none."""
        if self.is_live(market):
            return self.publish_stored(market)
        source = self.replay(market)
        fresh = self.monitor.fresh(market.symbol, market.interval, source)
        if not fresh.empty:
            self.monitor.publish(market.symbol, market.interval, fresh, source.name)
        return not fresh.empty

    def publish_stored(
        self, market: Market, earliest: Callable[[UnpublishedCandle], UnpublishedCandle] = lambda stored: stored
    ) -> bool:
        """Publishes the next stored candle of a live market, or the one that `earliest` puts before it.

        False when there is none, and while there are too few candles for a snapshot.
        """
        if not has_unpublished(market):
            return False
        with publication_lock(market):
            stored = next_unpublished(market)
            return stored is not None and self.publish(market, earliest(stored))

    def publish(self, market: Market, upcoming: UnpublishedCandle) -> bool:
        """Publishes a candle of a live market and stores it where that has not been done."""
        self.monitor.learn_tick(market.symbol, market.interval)
        facts = live_facts(market.symbol, upcoming, self.live.now() if self.live else timezone.now())
        candle, source = upcoming.candle, upcoming.source
        return self.monitor.publish(market.symbol, market.interval, candle, source, facts) is not None

    def drain(self) -> None:
        """Handles messages until none is left that is due."""
        while self.decision_maker.work() + self.execute():
            pass

    def execute(self) -> int:
        """Executes decisions at prices that are fetched before anything is locked."""
        self.fetch_quotes()
        return self.execution.work()

    def fetch_quotes(self) -> None:
        if self.live is None:
            return
        waiting = Message.objects.filter(
            type=Message.Type.TRADE_DECISION, processed_at=None, parked_at=None, available_at__lte=timezone.now()
        )
        rows = waiting.values_list("symbol_id", "interval").annotate(Max("created_at"))
        symbols = Symbol.objects.in_bulk([symbol for symbol, _, _ in rows])
        self.live.quotes.fetch(
            {
                symbols[symbol]: newest
                for symbol, interval, newest in rows
                if self.is_live(Market(symbols[symbol], interval))
            }
        )


def make_pipeline(mode: str | None = None, files: Files = ReplaySource.of_file) -> Pipeline:
    """The agents with the sources of `mode`, by default that of MARKET_SOURCES."""
    live = LiveMarkets(keep_up, price_now, settings.MARKET_POLL_SECONDS, reach_back=reach_back, review=review)
    return Pipeline(Feeds(mode or settings.MARKET_SOURCES, live, files), live=live)
