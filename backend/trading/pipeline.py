"""The agents put together: which markets are watched, and one turn of all three agents."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q

from learning.serving import Predictor
from market.models import Symbol
from market.sources.replay import Price, ReplaySource
from trading.agents.decision_maker import DecisionMaker
from trading.agents.execution_agent import ExecutionAgent
from trading.agents.market_monitor import MarketMonitor
from trading.models import RefreshRequest, TradingSettings

Sources = Callable[[str, str], ReplaySource]


@dataclass(frozen=True, slots=True)
class Market:
    """A symbol at an interval."""

    symbol: Symbol
    interval: str


@dataclass
class Pipeline:
    """All three agents in one process. Celery runs the same agents, each on its own queue."""

    sources: Sources = ReplaySource.of_file
    predictor: Predictor = field(default_factory=Predictor)

    def __post_init__(self) -> None:
        self.monitor = MarketMonitor()
        self.decision_maker = DecisionMaker(self.predictor)
        self.execution = ExecutionAgent(self.quote)

    def quote(self, symbol: Symbol, interval: str, after: datetime) -> Price | None:
        return self.sources(symbol.symbol, interval).first_price_after(after)

    def source(self, market: Market) -> ReplaySource:
        return self.sources(market.symbol.symbol, market.interval)

    def prepare(self, market: Market) -> None:
        """Everything that was known before the first candle is stored, so that models can be trained on it."""
        self.monitor.prepare(market.symbol, market.interval, self.source(market))

    def turn(self, market: Market) -> bool:
        """The next candle of a market, all the way to its execution reports. False when there is none."""
        source = self.source(market)
        fresh = self.monitor.fresh(market.symbol, market.interval, source)
        if not fresh.empty:
            self.monitor.tell(market.symbol, market.interval, fresh, source.name)
        self.drain()
        return not fresh.empty

    def drain(self) -> None:
        """Works until no message is left that can be worked on now."""
        while self.decision_maker.work() + self.execution.work():
            pass


def watched_markets() -> list[Market]:
    """The markets that running and paused accounts follow, those in which any account holds a position,
    and those that somebody asked to be looked at.
    """
    wanted = Q(follows__is_active=True, follows__account__settings__status__in=TradingSettings.WATCHING)
    held = Q(positions__closed_at__isnull=True, positions__isnull=False)
    followed = Symbol.objects.filter(wanted).values_list("pk", "follows__account__settings__interval")
    open_ = Symbol.objects.filter(held).values_list("pk", "positions__account__settings__interval")
    asked = RefreshRequest.objects.filter(looked_at=None).values_list("symbol_id", "interval")
    pairs = sorted(set(followed) | set(open_) | set(asked))
    symbols = Symbol.objects.in_bulk({pk for pk, _ in pairs})
    return [Market(symbols[pk], interval) for pk, interval in pairs]
