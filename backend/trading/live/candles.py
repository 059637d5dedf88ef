"""Markets of now: candles asked for as they fall due, and told to the agents one after the other.

A candle may be stored by whoever comes first: the stream, a poll, a back-fill, in this process or another. So what the
agents have to be told about is read from the tables: everything stored after the newest MARKET_SNAPSHOT of a market.
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
from trading.live.quotes import Ask, LiveQuotes
from trading.live.thread_pool import Crew
from trading.live.watched import Market
from trading.models import Message

Fetch = Callable[[Symbol, str, datetime], object]
"""Stores what has closed until then and is not known yet. Raises MarketError."""
Review = Callable[[Symbol, str, datetime, int], object]
"""Asks for so many of the stored candles again. Raises MarketError."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POLLERS, QUOTERS = 4, 8
# A source needs a moment to have the candle ready, and a stream is to come first where there is one.
SETTLE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
GAPS_SECONDS = 5.0
# Who hears of each candle from a stream asks all the same, now and then: a source may change its mind.
REVIEW = timedelta(minutes=15)
# Nobody looks whether a candle is overdue before the next one can have closed, or at the latest after so long.
CHECK = timedelta(seconds=30)
# Further back, nobody is told any more what was missed: the newest candle is told alone.
MOST_CAUGHT_UP = 1000


class LiveFeed:
    """One live market as the agents see it: the price that can be had. It asks no source."""

    name = "live"

    def __init__(self, symbol: str, interval: str, quotes: LiveQuotes) -> None:
        self.symbol = symbol
        self.interval = interval
        self.quotes = quotes

    def first_price_after(self, time: datetime) -> Price | None:
        """The newest price, if it is of after `time`. What was decided then is good until the next candle closes."""
        price = self.quotes.after(self.symbol, time)
        if price is None:
            return None
        return price._replace(oldest_seconds=(next_close(self.symbol, self.interval, time) - time).total_seconds())


class LiveMarkets:
    """Polls each market when a candle is overdue: once for all users, and beside the loop, so that none delays another.

    `members` of 0 does everything at once, in the thread that asks.
    """

    def __init__(
        self,
        fetch: Fetch,
        ask: Ask,
        poll_seconds: float,
        now: Callable[[], datetime] = timezone.now,
        members: int | None = None,
        reach_back: Fetch = lambda symbol, interval, now: None,
        review: Review = lambda symbol, interval, now, candles: None,
    ) -> None:
        self.fetch = fetch
        self._reach_back = reach_back
        self._review = review
        self.poll_seconds = poll_seconds
        self.now = now
        self.quotes = LiveQuotes(ask, now, QUOTERS if members is None else members)
        self._crew: Crew[Market] = Crew(POLLERS if members is None else members)
        self._not_before: dict[Market, float] = {}
        self._fine_until: dict[Market, datetime] = {}
        self._failures: dict[Market, int] = {}
        self._asked: dict[Market, tuple[datetime, datetime | None]] = {}
        """When a market was asked for, and the newest candle then."""
        self._gaps_at = 0.0

    def feed(self, symbol: str, interval: str) -> LiveFeed:
        return LiveFeed(symbol, interval, self.quotes)

    def look(self, markets: Iterable[Market]) -> None:
        """Asks for what is overdue, save where it was asked for a short while ago."""
        markets, now = list(markets), self.now()
        self._ask_for_gaps(markets, now)
        for market in markets:
            if monotonic() < self._not_before.get(market, 0.0) or now < self._fine_until.get(market, now):
                continue
            if is_overdue(market, now):
                self.ask_for(market)
            else:
                self._fine_until[market] = _fine_until(market, now)
                self._ask_again(market, now)

    def _ask_again(self, market: Market, now: datetime) -> None:
        """For what has been stored since somebody asked, where that was long ago."""
        if market not in self._asked:
            self._asked[market] = now, newest_open(market)
        (asked, newest), length = self._asked[market], interval_length(market.interval)
        # Where there is no stream, each candle is asked for, and the last ones with it.
        if now - asked < max(REVIEW, 2 * length) or newest == newest_open(market):
            return
        self._asked[market] = now, newest_open(market)
        candles = (now - asked) // length + OVERLAP
        self._crew.submit(market, partial(self._review, market.symbol, market.interval, now, candles))

    def _ask_for_gaps(self, markets: Iterable[Market], now: datetime) -> None:
        """Where candles are missing, and it is time to ask for them again."""
        if monotonic() < self._gaps_at:
            return
        self._gaps_at = monotonic() + GAPS_SECONDS
        gaps = due_gaps(now)
        for market in markets:
            if (market.symbol.pk, market.interval) in gaps and monotonic() >= self._not_before.get(market, 0.0):
                self.ask_for(market)

    def ask_for(self, market: Market) -> None:
        """Whether it is time or not, as after a break of the stream."""
        self._not_before[market] = monotonic() + self.poll_seconds * random.uniform(0.75, 1.25)  # noqa: S311
        self._asked[market] = self.now(), newest_open(market)
        self._crew.submit(market, partial(self.look_now, market))

    def look_now(self, market: Market) -> None:
        """In this thread. Raises MarketError or CandleError."""
        self.fetch(market.symbol, market.interval, self.now())

    def reach_back(self, market: Market) -> None:
        """In this thread."""
        self._reach_back(market.symbol, market.interval, self.now())

    def looked(self) -> Iterator[tuple[Market, Exception | None]]:
        """What came of the looks that are over. One that has failed often is not repeated soon."""
        for outcome in self._crew.outcomes():
            market, error = outcome.key, outcome.error
            self._failures[market] = 0 if error is None else self._failures.get(market, 0) + 1
            if error is not None:
                pause = min(self.poll_seconds * 2.0 ** min(self._failures[market], 10), LONGEST_PAUSE_SECONDS)
                self._not_before[market] = monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311
            yield market, error

    def is_looking(self, market: Market) -> bool:
        return self._crew.is_busy(market)


@dataclass(frozen=True, slots=True)
class Untold:
    """A candle that the agents have to be told about, as a candle frame of one row, and where it came from."""

    candle: pd.DataFrame
    close_time: datetime
    source: str


def untold(market: Market) -> Untold | None:
    """The next candle of a market that the agents have to be told about."""
    told, stored = told_until(market), Candle.objects.filter(symbol=market.symbol, interval=market.interval)
    newest = stored.order_by("-open_time").first()
    if newest is None or (told is not None and newest.open_time <= told):
        return None
    if told is None or newest.open_time - told > MOST_CAUGHT_UP * interval_length(market.interval):
        upcoming: Candle = newest
    else:
        upcoming = stored.filter(open_time__gt=told).order_by("open_time")[0]
    opened, length = upcoming.open_time, interval_length(market.interval)
    candle = candle_frame(market.symbol, market.interval, opened, opened + timedelta(microseconds=1))
    return Untold(candle, opened + length, upcoming.source)


def owes_news(market: Market) -> bool:
    """Whether something is stored that the agents have to be told about."""
    told, newest = told_until(market), newest_open(market)
    return newest is not None and (told is None or newest > told)


@contextmanager
def telling(market: Market) -> Iterator[None]:
    """A transaction in which nobody else tells about the symbol, or stores what comes before. Which candle is the next
    has to be read in it: before it, another thread may have filled a gap, or another process have told.
    """
    with transaction.atomic():
        hold(market.symbol)
        yield


def live_facts(symbol: Symbol, upcoming: Untold, now: datetime) -> dict[str, Any]:
    """What a snapshot of a live market says besides: whom the candle came from, how old it is when it is told, and
    the order book where that is kept. None of it is asked of a model.
    """
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
    """The open time of the newest candle that is stored."""
    candles = Candle.objects.filter(symbol=market.symbol, interval=market.interval).order_by("-open_time")
    return candles.values_list("open_time", flat=True).first()


def told_until(market: Market) -> datetime | None:
    """The open time of the newest candle that the agents were told about."""
    told = Message.objects.filter(
        symbol=market.symbol, type=Message.Type.MARKET_SNAPSHOT, interval=market.interval
    ).order_by("-pk")
    payload = told.values_list("payload", flat=True).first()
    if payload is None:
        return None
    length: timedelta = interval_length(market.interval)
    return datetime.fromisoformat(payload["timestamp"]) - length


def is_overdue(market: Market, now: datetime) -> bool:
    """Whether a candle has closed that is not stored. A market that sleeps owes none."""
    late = staleness(market.symbol, market.interval, now)
    return late is None or late > SETTLE_SECONDS


def _fine_until(market: Market, now: datetime) -> datetime:
    """Until when a market that owes nothing now will owe nothing."""
    settle, length = timedelta(seconds=SETTLE_SECONDS), interval_length(market.interval)
    since = (now - settle - EPOCH) % length
    return min(now + length - since, now + CHECK)


def wants_attention(market: Market, now: datetime) -> bool:
    """Whether a source has to be asked, or the agents have to be told."""
    return is_overdue(market, now) or untold(market) is not None


def due_gaps(now: datetime) -> set[tuple[int, str]]:
    """Symbol and interval of the markets with gaps whose next try is due."""
    return set(CandleGap.objects.filter(next_try__lte=now).values_list("symbol_id", "interval"))


def next_close(symbol: str, interval: str, close: datetime) -> datetime:
    """When the candle after the one that closed then will have closed, as far as the hours of the market tell."""
    length: timedelta = interval_length(interval)
    opens = session_of(symbol).open_times(interval, moment(close), moment(close + timedelta(days=14) + 2 * length))
    return close + length if not len(opens) else pd.Timestamp(opens[0], tz="UTC").to_pydatetime() + length
