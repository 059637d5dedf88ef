"""From the stream of an exchange to the Market Monitor: each closed candle at once, in order, and none twice.

What the stream has missed is asked for over REST before what came after it is told. Where there is no stream, or while
it is down, markets are polled as everywhere else.
"""

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from django.db import close_old_connections, connection

from engine.candles import CandleError, interval_length
from market.errors import MarketError, gist, reason
from market.sources.bybit_stream import (
    INTERVALS,
    TICK_SECONDS,
    Closed,
    Connected,
    Event,
    Forming,
    KlineStream,
    Lost,
    Refused,
    StreamedSeries,
    StreamTimeouts,
    Tick,
)
from market.sources.choice import sources_for
from market.sources.health import record
from trading.agents import journal
from trading.agents.pipeline import Pipeline
from trading.live.candles import Untold, newest_open, telling, told_until
from trading.live.watched import Market, watched_markets
from trading.messages.adapter import OUTAGES
from trading.runtime.heartbeat import STREAM, Heart
from trading.runtime.stop import Stop

logger = logging.getLogger(__name__)

# The sources of candles that have a stream of the same candles, and the path of each.
STREAMED = {"bybit": "/v5/public/spot", "bybit:linear": "/v5/public/linear"}
WATCH_SECONDS = 5.0
STOP_SECONDS = 2.0
LONGEST_BACKOFF_SECONDS = 15.0

Markets = Callable[[], Sequence[Market]]


@dataclass
class Relay:
    """`markets` says what is to be followed, as often as it is asked."""

    pipeline: Pipeline
    url: str
    markets: Markets = watched_markets
    stop: Stop = field(default_factory=Stop)
    say: Callable[[str], None] = logger.info
    patience: StreamTimeouts = field(default_factory=StreamTimeouts)

    def __post_init__(self) -> None:
        if self.pipeline.live is None:
            raise ValueError("a pipeline without live markets has nothing to stream")
        self.live = self.pipeline.live
        self._streams: dict[str, KlineStream] = {}
        self._threads: list[Thread] = []
        self._events: SimpleQueue[tuple[str, Event]] = SimpleQueue()
        self._followed: dict[Market, str | None] = {}
        self._waiting: dict[Market, dict[datetime, Closed]] = defaultdict(dict)
        self._stirred: set[Market] = set()
        self._told: dict[Market, str] = {}
        self._observed_at: dict[Market, float] = {}
        self._watched_at = -WATCH_SECONDS
        self._outages = 0
        self._heart = Heart(STREAM)

    def run(self) -> None:
        """Until it is stopped."""
        while not self.stop.is_set():
            try:
                self.turn()
                self._outages = 0
                self._heart.beat()
            except OUTAGES as error:
                self._wait_for_the_database(error)
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        connection.close()

    def turn(self) -> None:
        """What has come since the last turn, or the next event that comes."""
        if monotonic() - self._watched_at >= WATCH_SECONDS:
            self._watch()
        with suppress(Empty):
            self._take(*self._events.get(timeout=TICK_SECONDS))
            while True:
                self._take(*self._events.get_nowait())
        self._advance_stirred()
        self.live.look(self._followed)
        for market, error in self.live.looked():
            self._looked(market, error)

    def _watch(self) -> None:
        """Follows what is wanted now."""
        self._watched_at = monotonic()
        close_old_connections()
        markets = [market for market in self.markets() if self._within_its_edge(market, self.pipeline.is_live)]
        self._followed = {market: _streamed_source(market) for market in markets}
        for source in {name for name in self._followed.values() if name}:
            series = [_series(market) for market, name in self._followed.items() if name == source]
            self._stream_of(source).follow(series)
        for source, stream in self._streams.items():
            if source not in self._followed.values():
                stream.follow([])
        # What was stored and not told: by another process, or before a crash or an outage of the database.
        self._stirred |= set(self._followed)

    def _stream_of(self, source: str) -> KlineStream:
        if source not in self._streams:
            stream = KlineStream(self.url + STREAMED[source], self.stop, self.patience, self.live.now)
            self._streams[source] = stream
            thread = Thread(target=self._listen, args=(source, stream), name=_name(source), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self._streams[source]

    def _listen(self, source: str, stream: KlineStream) -> None:
        """In a thread of its own, so that no pong waits for the database."""
        for event in stream.events():
            if not isinstance(event, (Tick, Forming)):
                self._events.put((source, event))

    def _take(self, source: str, event: Event) -> None:
        if isinstance(event, Closed):
            for market in self._meant(event.series):
                self._waiting[market][event.candle.index[0].to_pydatetime()] = event
                self._stirred.add(market)
        elif isinstance(event, Connected):
            record(_name(source), None, None)
            self.say(f"{_name(source)}: {len(event.series)} followed")
            for market in (market for series in event.series for market in self._meant(series)):
                self.live.ask_for(market)
        elif isinstance(event, Lost):
            record(_name(source), event.error, None)
            self.say(
                f"{event.error}; the next try comes in {event.pause_seconds:.1f} s, and markets are polled meanwhile"
            )
        elif isinstance(event, Refused):
            self.say(f"{event.series.symbol} {event.series.interval} is polled: {event.problem}")

    def _meant(self, series: StreamedSeries) -> list[Market]:
        return [market for market in self._followed if _series(market) == series]

    def _looked(self, market: Market, error: Exception | None) -> None:
        if isinstance(error, OUTAGES):
            raise error
        if error is not None:
            self._failed(market, error)
        elif self._within_its_edge(market, self._advance):
            self._goes_on(market)

    def _advance_stirred(self) -> None:
        """Not with each event: an answer over REST may lack a candle that the next event brings."""
        while self._stirred:
            market = next(iter(self._stirred))
            self._within_its_edge(market, self._advance)
            self._stirred.discard(market)

    def _advance(self, market: Market) -> None:
        """Tells about all that is stored, and then about what waits, as far as nothing is missing before it."""
        told = False
        while not self.stop.is_set() and self.pipeline.tell_next(market, partial(self._or_waiting, market)):
            told = True
        waiting, source, length = self._waiting[market], self._followed.get(market), interval_length(market.interval)
        while waiting and source and not self.stop.is_set():
            upcoming = min(waiting)
            with telling(market):
                last, known = told_until(market), newest_open(market)
                if known is None or upcoming - known > length:
                    # `look` finds that it is overdue, and asks for all that is missing.
                    break
                if last is not None and known > last:
                    # A poll has just stored more, which has to be told about first.
                    break
                if upcoming > known:
                    told |= self.pipeline.tell_of(market, Untold(waiting[upcoming].candle, upcoming + length, source))
            del waiting[upcoming]
        if told:
            self._goes_on(market)

    def _or_waiting(self, market: Market, stored: Untold) -> Untold:
        """What the stream told, and the answer over REST left out that brought the next stored candle."""
        waiting, source, length = self._waiting[market], self._followed.get(market), interval_length(market.interval)
        known = told_until(market) if waiting and source else None
        if source is None or known is None:
            return stored
        early = [time for time in waiting if known < time < stored.close_time - length]
        return Untold(waiting[min(early)].candle, min(early) + length, source) if early else stored

    def _within_its_edge(self, market: Market, act: Callable[[Market], object]) -> bool:
        """The outermost edge of one market: whatever goes wrong inside is shown, and the other markets go on."""
        try:
            return act(market) is not False
        except OUTAGES:
            raise
        except Exception as error:
            self._failed(market, error)
            return False

    def _failed(self, market: Market, error: Exception) -> None:
        if self._told.get(market) != gist(reason(error)):
            self._told[market] = gist(reason(error))
            expected = isinstance(error, (MarketError, CandleError))
            logger.log(logging.DEBUG if expected else logging.ERROR, "%s failed", market, exc_info=error)
            journal.not_observed(market.symbol, market.interval, error)
            self.say(f"{market}: {error}")

    def _goes_on(self, market: Market) -> None:
        hindered = self._told.pop(market, None)
        if hindered or monotonic() - self._observed_at.get(market, -WATCH_SECONDS) >= 1.0:
            self._observed_at[market] = monotonic()
            journal.observed(market.symbol, market.interval)
        if hindered:
            self.say(f"{market}: goes on")

    def _wait_for_the_database(self, error: Exception) -> None:
        if not self._outages:
            self.say(f"the database does not answer, trying again: {str(error).strip().splitlines()[0]}")
        self._outages += 1
        connection.close()
        self.stop.wait(min(0.5 * 2.0**self._outages, LONGEST_BACKOFF_SECONDS) * random.uniform(0.5, 1.0))  # noqa: S311


def _streamed_source(market: Market) -> str | None:
    """The source whose stream a market can be followed on, None where it can only be polled."""
    first = sources_for(market.symbol.symbol, files=False)[0].name
    return first if first in STREAMED and market.interval in INTERVALS else None


def _series(market: Market) -> StreamedSeries:
    return StreamedSeries(market.symbol.symbol, market.interval)


def _name(source: str) -> str:
    return f"{source} stream"
