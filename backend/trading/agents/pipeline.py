"""The agents put together: one turn of all three of them, in markets that are played and in markets of now."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Max
from django.utils import timezone

from learning.registry.serving import Predictor
from market.errors import MarketError
from market.models import Symbol
from market.selectors import latest_candles
from market.sources.base import Price
from market.sources.replay import ReplaySource
from trading.agents.decision_maker import DecisionMaker
from trading.agents.execution_agent import ExecutionAgent
from trading.agents.market_monitor import MarketMonitor
from trading.live.candles import LiveFeed, LiveMarkets, Untold, live_facts, owes_news, telling, untold
from trading.live.watched import Market, watched_markets
from trading.models import Message

__all__ = ["Market", "Pipeline", "Sources", "watched_markets"]

Sources = Callable[[str, str], ReplaySource | LiveFeed]


@dataclass
class Pipeline:
    """All three agents in one process. Celery runs the same agents, each on its own queue."""

    sources: Sources = ReplaySource.of_file
    predictor: Predictor = field(default_factory=Predictor)
    live: LiveMarkets | None = None

    def __post_init__(self) -> None:
        self.monitor = MarketMonitor()
        self.decision_maker = DecisionMaker(self.predictor)
        self.execution = ExecutionAgent(self.known_price)

    def known_price(self, symbol: Symbol, interval: str, after: datetime) -> Price | None:
        """The first price after a moment, or None while there is none. No source is asked: the caller holds locks."""
        return self.sources(symbol.symbol, interval).first_price_after(after)

    def quote(self, symbol: Symbol, interval: str, after: datetime) -> Price | None:
        """The same, asked for where the market is live. Raises MarketError."""
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
        """The source of a market that is played."""
        source = self.source(market)
        if not isinstance(source, ReplaySource):
            raise TypeError(f"{market} is live")
        return source

    def prepare(self, market: Market) -> None:
        """Everything that was known before the first candle is stored, so that models can be trained on it."""
        if not self.is_live(market):
            self.monitor.prepare(market.symbol, market.interval, self.replay(market))
            return
        if self.live is not None and latest_candles(market.symbol, market.interval, 1).empty:
            self.live.look_now(market)
        self.monitor.learn_tick(market.symbol, market.interval)

    def prepare_training(self, market: Market) -> None:
        """The same, and of a live market as much of the time before as its source has."""
        self.prepare(market)
        self.reach_back(market)

    def reach_back(self, market: Market) -> None:
        """Has stored what the source of a live market has of the month before its oldest stored candle."""
        if self.live is not None and self.is_live(market):
            self.live.reach_back(market)

    def look(self, market: Market) -> None:
        """Has stored what has closed in a live market. Raises MarketError."""
        if self.live is not None and self.is_live(market):
            self.live.look_now(market)

    def turn(self, market: Market) -> bool:
        """The next candle of a market, all the way to its execution reports. False when there is none."""
        told = self.tell(market)
        self.drain()
        return told

    def tell(self, market: Market) -> bool:
        """Has the Market Monitor tell about the next candle. False when there is none."""
        return self.tell_next(market) if self.is_live(market) else self._play(market)

    def _play(self, market: Market) -> bool:
        source = self.replay(market)
        fresh = self.monitor.fresh(market.symbol, market.interval, source)
        if not fresh.empty:
            self.monitor.tell(market.symbol, market.interval, fresh, source.name)
        return not fresh.empty

    def tell_next(self, market: Market, before: Callable[[Untold], Untold] = lambda stored: stored) -> bool:
        """Tells about the next stored candle of a live market, or what `before` has that comes before it. False, too,
        while there are too few for a snapshot.
        """
        if not owes_news(market):
            return False
        with telling(market):
            stored = untold(market)
            return stored is not None and self.tell_of(market, before(stored))

    def tell_of(self, market: Market, upcoming: Untold) -> bool:
        """Stores a candle of a live market, if that has not been done, and tells about it."""
        self.monitor.learn_tick(market.symbol, market.interval)
        facts = live_facts(market.symbol, upcoming, self.live.now() if self.live else timezone.now())
        candle, source = upcoming.candle, upcoming.source
        return self.monitor.tell(market.symbol, market.interval, candle, source, facts) is not None

    def drain(self) -> None:
        """Works until no message is left that can be worked on now."""
        while self.decision_maker.work() + self.execute():
            pass

    def execute(self) -> int:
        """Carries out what has been decided, at prices that are fetched before anything is locked."""
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
