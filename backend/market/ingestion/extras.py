"""What is stored of a symbol beside the traded interval: more intervals, its order book, its instrument terms."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from engine.candles import INTERVALS, interval_length
from market.errors import MarketError, NoSource, NotServed, SourceError
from market.ingestion.backfill import fill_gaps
from market.ingestion.candles import Fetch, ingest
from market.models import Candle, OrderBookDepth, Symbol, check_intervals
from market.sources.base import FetchedCandles, Source, VenueTerms
from market.sources.book import BookSource
from market.sources.built import BuiltSource, lower_interval

# Venues change their steps a few times a year.
TERMS_AGE = timedelta(days=1)
SMALLEST_STEP = Decimal("1E-10")


def store_more(symbol: Symbol, intervals: Sequence[str] | None = None, depth_levels: int | None = None) -> Symbol:
    """Switches further intervals and the order book on or off (an empty list, 0). Raises ValidationError."""
    if intervals is not None:
        check_intervals(list(intervals))
        symbol.extra_intervals = sorted(set(intervals), key=interval_length)
    if depth_levels is not None:
        symbol.depth_levels = depth_levels
        symbol.clean_fields(exclude=["symbol"])
    symbol.save(update_fields=["extra_intervals", "depth_levels", "updated_at"])
    return symbol


def ingest_extras(symbol: Symbol, interval: str, fetch: Fetch, now: datetime) -> list[str]:
    """Ingests the further intervals of a symbol whose `interval` is already ingested. Returns what went wrong."""
    ask = or_built(symbol, fetch)
    problems: list[str] = []
    for extra in symbol.extra_intervals:
        if extra == interval:
            continue
        try:
            problems += filter(None, [ingest(symbol, extra, ask, now).problem])
            problems += fill_gaps(symbol, extra, ask, now).problems
        except MarketError as error:
            problems.append(str(error))
    return problems


def or_built(symbol: Symbol, fetch: Fetch) -> Fetch:
    """The same, but an interval that no source serves is built from the stored candles of the longest lower one."""

    def ask(name: str, interval: str, start: datetime, end: datetime) -> FetchedCandles:
        try:
            return fetch(name, interval, start, end)
        except (NotServed, NoSource) as error:
            stored = [known for known in INTERVALS if Candle.objects.filter(symbol=symbol, interval=known).exists()]
            lower = lower_interval(interval, stored)
            if lower is None or not _is_not_served(error):
                raise
            return BuiltSource(symbol, lower, interval).fetch(name, interval, start, end)

    return ask


def _is_not_served(error: NotServed | NoSource) -> bool:
    return isinstance(error, NotServed) or all(isinstance(failure, NotServed) for failure in error.failures)


def ingest_depth(symbol: Symbol, sources: Sequence[Source], now: datetime) -> OrderBookDepth | None:
    """Stores the order book of the first source that serves it; None where it is switched off. Raises NoSource."""
    if not symbol.depth_levels:
        return None
    failures: list[SourceError] = []
    for source in sources:
        if not isinstance(source, BookSource):
            failures.append(NotServed(source.name, "it serves no order book"))
            continue
        try:
            depth = source.depth(symbol.symbol, symbol.depth_levels)
        except SourceError as error:
            failures.append(error)
            continue
        row, _ = OrderBookDepth.objects.get_or_create(
            symbol=symbol,
            time=depth.time,
            defaults={
                "best_bid": float(depth.best_bid),
                "best_ask": float(depth.best_ask),
                "levels": depth.levels,
                "bid_quantity": float(depth.bid_quantity),
                "ask_quantity": float(depth.ask_quantity),
                "source": source.name,
            },
        )
        return row
    raise NoSource(f"the order book of {symbol}", failures)


def refresh_terms(symbol: Symbol, ask: Callable[[str], tuple[VenueTerms, Source]], now: datetime) -> bool:
    """Stores the lot step, tick and minimum notional that the venue states, once a day; returns whether it was asked.

    What it does not state stays as it is. Raises MarketError.
    """
    if symbol.terms_at is not None and now - symbol.terms_at < TERMS_AGE:
        return False
    terms, source = ask(symbol.symbol)
    stated = {"price_tick": terms.price_tick, "lot_step": terms.lot_step, "minimum_notional": terms.minimum_notional}
    for field, step in stated.items():
        if step is None:
            continue
        if step and step < SMALLEST_STEP:
            raise NotServed(source.name, f"the {field} of {symbol}, {step}, is finer than can be stored")
        setattr(symbol, field, step)
    symbol.name = symbol.name or terms.name[:100]
    symbol.terms_at = now
    symbol.save(update_fields=[*stated, "name", "terms_at", "updated_at"])
    return True
