"""Where the candles of each market come from: a file that is played, or sources of now."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.core.cache import cache

from engine.candles import CandleError
from market.errors import CandleFileMissing, MarketError
from market.ingestion.backfill import fill_gaps
from market.ingestion.candles import ingest
from market.ingestion.extras import ingest_depth, ingest_extras, or_built, refresh_terms
from market.ingestion.history import top_up
from market.models import Candle, Symbol
from market.sources import choice
from market.sources.base import Price
from market.sources.replay import ReplaySource
from trading.agents.pipeline import Pipeline
from trading.live.candles import LiveFeed, LiveMarkets
from trading.live.staleness import PLAYED

logger = logging.getLogger(__name__)

AUTO, FILES, LIVE = "auto", "files", "live"
NO_MORE_SECONDS = 24 * 60 * 60

Files = Callable[[str, str], ReplaySource]


class PlayedMarket(MarketError):
    """Candles of the past that were played, and candles of now, would make one false series."""


@dataclass(frozen=True)
class Feeds:
    """The sources of a pipeline. `mode` is MARKET_SOURCES of the environment."""

    mode: str
    live: LiveMarkets
    files: Files = ReplaySource.of_file

    def __call__(self, symbol: str, interval: str) -> ReplaySource | LiveFeed:
        """Raises MarketError where there is none."""
        if self.mode != LIVE:
            try:
                return self.files(symbol, interval)
            except CandleFileMissing:
                if self.mode == FILES:
                    raise
        return self.live.feed(symbol, interval)


def make_pipeline(mode: str | None = None, files: Files = ReplaySource.of_file) -> Pipeline:
    """The agents with all the markets that they may have; the mode is that of the environment if none is given."""
    live = LiveMarkets(keep_up, price_now, settings.MARKET_POLL_SECONDS, reach_back=reach_back, review=ask_again)
    return Pipeline(Feeds(mode or settings.MARKET_SOURCES, live, files), live=live)


def keep_up(symbol: Symbol, interval: str, now: datetime) -> None:
    """Stores what has closed, from the first source that has it, and asks again for what was missing.

    Raises MarketError and CandleError.
    """
    stored = Candle.objects.filter(symbol=symbol, interval=interval).order_by("-open_time")
    if stored.values_list("source", flat=True).first() in PLAYED:
        raise PlayedMarket(f"{symbol} at {interval} has been played from a file; what is live needs another database")
    sources = choice.sources_for(symbol.symbol, files=False)
    fetch = or_built(symbol, partial(choice.fetch, sources=sources))
    problems = list(filter(None, [ingest(symbol, interval, fetch, now).problem]))
    problems += [*fill_gaps(symbol, interval, fetch, now).problems, *ingest_extras(symbol, interval, fetch, now)]
    for ask in (partial(refresh_terms, symbol, choice.terms, now), partial(ingest_depth, symbol, sources, now)):
        try:
            ask()
        except MarketError as error:
            problems.append(str(error))
    # The candles are there: what is missing beside them keeps nobody from trading.
    for problem in problems:
        logger.warning("%s %s: %s", symbol, interval, problem)


def ask_again(symbol: Symbol, interval: str, now: datetime, candles: int) -> None:
    """For the newest stored candles: what their source says of them now is a revision where it differs."""
    sources = choice.sources_for(symbol.symbol, files=False)
    ingest(symbol, interval, or_built(symbol, partial(choice.fetch, sources=sources)), now, again=candles)


def reach_back(symbol: Symbol, interval: str, now: datetime) -> None:
    """Stores what the source of the oldest stored candle has of the month before it.

    A failure is told and raises nothing: a model learns from what is stored, if that is enough. Who had no more is not
    asked again within a day.
    """
    stored = Candle.objects.filter(symbol=symbol, interval=interval).order_by("open_time")
    oldest = stored.first()
    if oldest is None or cache.get(_no_more(oldest)):
        return
    try:
        for source in choice.sources_for(symbol.symbol, files=False):
            if source.name == oldest.source:
                top_up(symbol, interval, source, now)
    except (MarketError, CandleError) as error:
        logger.warning("%s %s: its history stays as short as it is: %s", symbol, interval, error)
        return
    cache.set(_no_more(stored[0]), True, NO_MORE_SECONDS)


def _no_more(oldest: Candle) -> str:
    return f"no-more-history:{oldest.symbol_id}:{oldest.interval}:{oldest.open_time:%Y%m%dT%H%M}"


def price_now(symbol: Symbol) -> Price:
    price, _ = choice.quote(symbol.symbol)
    return price
