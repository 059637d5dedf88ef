"""Live markets: candles are polled as they fall due and published to the agents in order.

A candle may be stored by the stream, a poll or a back-fill, in this process or another. So the candles to publish are
read from the tables: everything stored after the newest MARKET_SNAPSHOT of a market.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

import pandas as pd
from django.db import transaction
from django.utils import timezone

from engine.candles import interval_length
from market.calendar.sessions import moment, session_of
from market.ingestion.history import OVERLAP
from market.models import Candle, CandleGap, Symbol
from market.selectors import candle_frame, newest_depth, staleness
from market.services import hold
from market.sources.base import Price
from trading.live.quotes import FetchPrice, LiveQuotes
from trading.live.thread_pool import ThreadPool
from trading.models import Message
from trading.selectors.markets import Market

Fetch = Callable[[Symbol, str, datetime], object]
"""Stores the candles that have closed until then and are not stored yet. Raises MarketError."""
Review = Callable[[Symbol, str, datetime, int], object]
"""Fetches that many of the newest stored candles again. Raises MarketError."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POLL_WORKERS, QUOTE_WORKERS = 4, 8
# A source needs a moment to have the candle ready, and a stream, where there is one, is faster than a poll.
SETTLE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
GAPS_SECONDS = 5.0
# Candles that came by a stream are fetched again this often: a source may revise them.
REVIEW = timedelta(minutes=15)
# A market without an overdue candle is checked again when the next one can have closed, at the latest after this time.
CHECK = timedelta(seconds=30)
# After this many missed candles only the newest is published.
MOST_CAUGHT_UP = 1000


class LiveFeed:
    """The prices of one live market for the agents. It sends no request."""

    name = "live"

    def __init__(self, symbol: str, interval: str, quotes: LiveQuotes) -> None:
        self.symbol = symbol
        self.interval = interval
        self.quotes = quotes

    def first_price_after(self, time: datetime) -> Price | None:
        """The newest price, if it is of after `time`. A decision of `time` is valid until the next candle closes."""
        price = self.quotes.after(self.symbol, time)
        if price is None:
            return None
        return price._replace(oldest_seconds=(next_close(self.symbol, self.interval, time) - time).total_seconds())


class LiveMarkets:
    """Polls each market when a candle is overdue, once for all users, in threads so that no market delays another.

    With 0 `workers`, requests are sent in the calling thread.
    """

    def __init__(
        self,
        fetch: Fetch,
        fetch_price: FetchPrice,
        poll_seconds: float,
        now: Callable[[], datetime] = timezone.now,
        workers: int | None = None,
        reach_back: Fetch = lambda symbol, interval, now: None,
        review: Review = lambda symbol, interval, now, candles: None,
    ) -> None:
        self.fetch = fetch
        self._reach_back = reach_back
        self._review = review
        self.poll_seconds = poll_seconds
        self.now = now
        self.quotes = LiveQuotes(fetch_price, now, QUOTE_WORKERS if workers is None else workers)
        self._pool: ThreadPool[Market] = ThreadPool(POLL_WORKERS if workers is None else workers)
        self._not_before: dict[Market, float] = {}
        self._current_until: dict[Market, datetime] = {}
        self._failures: dict[Market, int] = {}
        self._polled: dict[Market, tuple[datetime, datetime | None]] = {}
        """When a market was last polled or reviewed, and its newest candle then."""
        self._gaps_at = 0.0

    def feed(self, symbol: str, interval: str) -> LiveFeed:
        return LiveFeed(symbol, interval, self.quotes)

    def poll(self, markets: Iterable[Market]) -> None:
        """Requests overdue candles, gaps that are due and reviews, except of markets that were polled just before."""
        now, gaps = self.now(), set[tuple[int, str]]()
        if monotonic() >= self._gaps_at:
            self._gaps_at, gaps = monotonic() + GAPS_SECONDS, due_gaps(now)
        for market in markets:
            if monotonic() < self._not_before.get(market, 0.0):
                continue
            if (market.symbol.pk, market.interval) in gaps:
                self.request(market)
            elif now >= self._current_until.get(market, now):
                if is_overdue(market, now):
                    self.request(market)
                else:
                    self._current_until[market] = _current_until(market, now)
                    self._review_streamed(market, now)

    def _review_streamed(self, market: Market, now: datetime) -> None:
        """Fetches again the candles stored since the last poll, where that was long ago."""
        if market not in self._polled:
            self._polled[market] = now, newest_open(market)
        (polled, newest), length = self._polled[market], interval_length(market.interval)
        # Where there is no stream, each candle is polled, and the last ones with it.
        if now - polled < max(REVIEW, 2 * length) or newest == newest_open(market):
            return
        self._polled[market] = now, newest_open(market)
        candles = (now - polled) // length + OVERLAP
        self._pool.submit(market, partial(self._review, market.symbol, market.interval, now, candles))

    def request(self, market: Market) -> None:
        """Polls a market whether it is due or not, as after a break of the stream."""
        self._not_before[market] = monotonic() + self.poll_seconds * random.uniform(0.75, 1.25)  # noqa: S311
        self._polled[market] = self.now(), newest_open(market)
        self._pool.submit(market, partial(self.poll_now, market))

    def poll_now(self, market: Market) -> None:
        """In the calling thread. Raises MarketError or CandleError."""
        self.fetch(market.symbol, market.interval, self.now())

    def reach_back(self, market: Market) -> None:
        """In the calling thread."""
        self._reach_back(market.symbol, market.interval, self.now())

    def results(self) -> Iterator[tuple[Market, Exception | None]]:
        """The polls that have finished since the last call. The pause grows with the failures in a row."""
        for result in self._pool.results():
            market, error = result.key, result.error
            self._failures[market] = 0 if error is None else self._failures.get(market, 0) + 1
            if error is not None:
                pause = min(self.poll_seconds * 2.0 ** min(self._failures[market], 10), LONGEST_PAUSE_SECONDS)
                self._not_before[market] = monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311
            yield market, error

    def is_polling(self, market: Market) -> bool:
        return self._pool.is_busy(market)


@dataclass(frozen=True, slots=True)
class UnpublishedCandle:
    """A candle to publish, as a candle frame of one row, and its source."""

    candle: pd.DataFrame
    close_time: datetime
    source: str


def next_unpublished(market: Market) -> UnpublishedCandle | None:
    """The next stored candle that has to be published."""
    published, stored = published_until(market), Candle.objects.filter(symbol=market.symbol, interval=market.interval)
    newest, length = stored.order_by("-open_time").first(), interval_length(market.interval)
    if newest is None or (published is not None and newest.open_time <= published):
        return None
    upcoming: Candle = newest
    if published is not None and newest.open_time - published <= MOST_CAUGHT_UP * length:
        upcoming = stored.filter(open_time__gt=published).order_by("open_time")[0]
    opened = upcoming.open_time
    candle = candle_frame(market.symbol, market.interval, opened, opened + timedelta(microseconds=1))
    return UnpublishedCandle(candle, opened + length, upcoming.source)


def has_unpublished(market: Market) -> bool:
    published, newest = published_until(market), newest_open(market)
    return newest is not None and (published is None or newest > published)


@contextmanager
def publication_lock(market: Market) -> Iterator[None]:
    """A transaction in which no other process or thread publishes or stores candles of the symbol.

    The next candle has to be read inside: before it, a gap may be filled, or another process may publish.
    """
    with transaction.atomic():
        hold(market.symbol)
        yield


def live_facts(symbol: Symbol, upcoming: UnpublishedCandle, now: datetime) -> dict[str, Any]:
    """The fields of a live snapshot that no model reads: source, age at publication in seconds, and the order book."""
    age = round(max((now - upcoming.close_time).total_seconds(), 0.0), 3)
    facts: dict[str, Any] = {"source": upcoming.source, "data_age_seconds": age}
    if symbol.depth_levels and (book := newest_depth(symbol, now)):
        facts["depth"] = {
            "best_bid": book.best_bid,
            "best_ask": book.best_ask,
            "levels": book.levels,
            "bid_quantity": book.bid_quantity,
            "ask_quantity": book.ask_quantity,
            "age_seconds": round(max((now - book.time).total_seconds(), 0.0), 3),
        }
    return facts


def newest_open(market: Market) -> datetime | None:
    """The open time of the newest stored candle."""
    candles = Candle.objects.filter(symbol=market.symbol, interval=market.interval).order_by("-open_time")
    return candles.values_list("open_time", flat=True).first()


def published_until(market: Market) -> datetime | None:
    """The open time of the newest published candle."""
    snapshots = Message.objects.filter(
        symbol=market.symbol, type=Message.Type.MARKET_SNAPSHOT, interval=market.interval
    )
    payload = snapshots.order_by("-pk").values_list("payload", flat=True).first()
    if payload is None:
        return None
    length: timedelta = interval_length(market.interval)
    return datetime.fromisoformat(payload["timestamp"]) - length


def is_overdue(market: Market, now: datetime) -> bool:
    """Whether a candle has closed that is not stored. A market outside of its trading hours has none overdue."""
    late = staleness(market.symbol, market.interval, now)
    return late is None or late > SETTLE_SECONDS


def _current_until(market: Market, now: datetime) -> datetime:
    """The earliest time at which a market without an overdue candle can have one, at most CHECK ahead."""
    settle, length = timedelta(seconds=SETTLE_SECONDS), interval_length(market.interval)
    since = (now - settle - EPOCH) % length
    return min(now + length - since, now + CHECK)


def needs_work(market: Market, now: datetime) -> bool:
    """Whether a candle has to be fetched or published."""
    return is_overdue(market, now) or has_unpublished(market)


def due_gaps(now: datetime) -> set[tuple[int, str]]:
    """Symbol and interval of the markets with gaps whose next try is due."""
    return set(CandleGap.objects.filter(next_try__lte=now).values_list("symbol_id", "interval"))


def next_close(symbol: str, interval: str, close: datetime) -> datetime:
    """When the candle after the one that closed then will have closed, by the trading hours of the market."""
    length: timedelta = interval_length(interval)
    opens = session_of(symbol).open_times(interval, moment(close), moment(close + timedelta(days=14) + 2 * length))
    return close + length if not len(opens) else pd.Timestamp(opens[0], tz="UTC").to_pydatetime() + length
