"""The source of the candles of each market: a file that is replayed, or live sources."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

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
from trading.live.markets import LiveFeed, LiveMarkets
from trading.selectors.markets import PLAYED

logger = logging.getLogger(__name__)

AUTO, FILES, LIVE = "auto", "files", "live"
NO_MORE_SECONDS = 24 * 60 * 60

Files = Callable[[str, str], ReplaySource]


class PlayedMarket(MarketError):
    """Replayed and live candles must not be mixed in one series."""


@dataclass(frozen=True)
class Feeds:
    """The sources of a pipeline. `mode` is one of the values of MARKET_SOURCES."""

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


def keep_up(symbol: Symbol, interval: str, now: datetime) -> None:
    """Stores the candles that have closed, from the first source that has them, and retries gaps that are due.

    Raises MarketError and CandleError.
    """
    stored = Candle.objects.filter(symbol=symbol, interval=interval).order_by("-open_time")
    if stored.values_list("source", flat=True).first() in PLAYED:
        raise PlayedMarket(f"{symbol} at {interval} has been played from a file; what is live needs another database")
    sources = choice.sources_for(symbol.symbol, files=False)
    fetch = or_built(symbol, partial(choice.fetch, sources=sources))
    problems = list(filter(None, [ingest(symbol, interval, fetch, now).problem]))
    problems += [*fill_gaps(symbol, interval, fetch, now).problems, *ingest_extras(symbol, interval, fetch, now)]
    for update in (partial(refresh_terms, symbol, choice.terms, now), partial(ingest_depth, symbol, sources, now)):
        try:
            update()
        except MarketError as error:
            problems.append(str(error))
    # Logged only: the candles are stored, and the rest is not needed to trade.
    for problem in problems:
        logger.warning("%s %s: %s", symbol, interval, problem)


def review(symbol: Symbol, interval: str, now: datetime, candles: int) -> None:
    """Fetches the newest stored candles again; where the answer differs, a revision is stored."""
    sources = choice.sources_for(symbol.symbol, files=False)
    ingest(symbol, interval, or_built(symbol, partial(choice.fetch, sources=sources)), now, again=candles)


def reach_back(symbol: Symbol, interval: str, now: datetime) -> None:
    """Stores the month before the oldest stored candle, as far as the source of that candle has it.

    A failure is logged and not raised: a model can be trained on what is stored, if that is enough. A source without
    older candles is not asked again for a day.
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
