"""From the stream of an exchange to the Market Monitor: each closed candle at once, in order, and none twice.

Candles that the stream has missed are fetched over REST before later ones are published. Markets without a stream, and
all while it is down, are polled as in the loop.
"""

import logging
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

from engine.candles import interval_length
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
from trading.live.markets import UnpublishedCandle, newest_open, publication_lock, published_until
from trading.messages.adapter import OUTAGES
from trading.runtime.failures import DatabaseOutage, MarketFailures
from trading.runtime.heartbeat import STREAM, Heartbeat
from trading.runtime.pipeline import Pipeline
from trading.runtime.stop import Stop
from trading.selectors.markets import Market, watched_markets

logger = logging.getLogger(__name__)

# The sources of candles that have a stream of the same candles, and the path of each.
STREAMED = {"bybit": "/v5/public/spot", "bybit:linear": "/v5/public/linear"}
WATCH_SECONDS = 5.0
STOP_SECONDS = 2.0

Markets = Callable[[], Sequence[Market]]


@dataclass
class Relay:
    """Publishes the candles of the markets that `markets` returns; it is called every WATCH_SECONDS."""

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
        self._changed: set[Market] = set()
        self._observed_at: dict[Market, float] = {}
        self._watched_at = -WATCH_SECONDS
        self._failures = MarketFailures(self.say)
        self._heartbeat = Heartbeat(STREAM)

    def run(self) -> None:
        """Until `stop` is set."""
        outage = DatabaseOutage(self.say, self.stop)
        while not self.stop.is_set():
            try:
                self.cycle()
                outage.is_over()
                self._heartbeat.beat()
            except OUTAGES as error:
                outage.wait(error)
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        connection.close()

    def cycle(self) -> None:
        """Handles the events since the last cycle, or waits for the next one for TICK_SECONDS."""
        if monotonic() - self._watched_at >= WATCH_SECONDS:
            self._watch()
        with suppress(Empty):
            self._handle(*self._events.get(timeout=TICK_SECONDS))
            while True:
                self._handle(*self._events.get_nowait())
        # Not with each event: an answer over REST may lack a candle that the next event brings.
        while self._changed:
            market = next(iter(self._changed))
            self._failures.isolate(market, self._advance)
            self._changed.discard(market)
        self.live.poll(self._followed)
        for market, error in self.live.results():
            if error is not None:
                self._failures.report(market, error)
            elif self._failures.isolate(market, self._advance):
                self._observed(market)

    def _watch(self) -> None:
        """Subscribes to the streams of the markets that are watched now."""
        self._watched_at = monotonic()
        close_old_connections()
        markets = [market for market in self.markets() if self._failures.isolate(market, self.pipeline.is_live)]
        self._followed = {market: _streamed_source(market) for market in markets}
        for source in {name for name in self._followed.values() if name}:
            series = [_series(market) for market, name in self._followed.items() if name == source]
            self._stream_of(source).follow(series)
        for source, stream in self._streams.items():
            if source not in self._followed.values():
                stream.follow([])
        # Another process, or this one before a crash or an outage, may have stored candles and not published them.
        self._changed |= set(self._followed)

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

    def _handle(self, source: str, event: Event) -> None:
        if isinstance(event, Closed):
            for market in self._markets_of(event.series):
                self._waiting[market][event.candle.index[0].to_pydatetime()] = event
                self._changed.add(market)
        elif isinstance(event, Connected):
            record(_name(source), None, None)
            self.say(f"{_name(source)}: {len(event.series)} followed")
            for market in (market for series in event.series for market in self._markets_of(series)):
                self.live.request(market)
        elif isinstance(event, Lost):
            record(_name(source), event.error, None)
            self.say(
                f"{event.error}; the next try comes in {event.pause_seconds:.1f} s, and markets are polled meanwhile"
            )
        elif isinstance(event, Refused):
            self.say(f"{event.series.symbol} {event.series.interval} is polled: {event.problem}")

    def _markets_of(self, series: StreamedSeries) -> list[Market]:
        return [market for market in self._followed if _series(market) == series]

    def _advance(self, market: Market) -> None:
        """Publishes all that is stored, then the candles of the stream, as far as none is missing before them."""
        published = False
        while not self.stop.is_set() and self.pipeline.publish_stored(market, partial(self._earliest, market)):
            published = True
        waiting, source, length = self._waiting[market], self._followed.get(market), interval_length(market.interval)
        while waiting and source and not self.stop.is_set():
            upcoming = min(waiting)
            with publication_lock(market):
                last, known = published_until(market), newest_open(market)
                if known is None or upcoming - known > length:
                    # `poll` finds that it is overdue, and requests all that is missing.
                    break
                if last is not None and known > last:
                    # A poll has just stored more, which has to be published first.
                    break
                if upcoming > known:
                    candle = UnpublishedCandle(waiting[upcoming].candle, upcoming + length, source)
                    published |= self.pipeline.publish(market, candle)
            del waiting[upcoming]
        if published:
            self._observed(market)

    def _earliest(self, market: Market, stored: UnpublishedCandle) -> UnpublishedCandle:
        """The next stored candle, or an earlier one of the stream that the answer over REST left out."""
        waiting, source, length = self._waiting[market], self._followed.get(market), interval_length(market.interval)
        known = published_until(market) if waiting and source else None
        if source is None or known is None:
            return stored
        early = [time for time in waiting if known < time < stored.close_time - length]
        return UnpublishedCandle(waiting[min(early)].candle, min(early) + length, source) if early else stored

    def _observed(self, market: Market) -> None:
        """Written at most once a second for a market, unless it has recovered."""
        if self._failures.recovered(market) or monotonic() - self._observed_at.get(market, -WATCH_SECONDS) >= 1.0:
            self._observed_at[market] = monotonic()
            journal.observed(market.symbol, market.interval)


def _streamed_source(market: Market) -> str | None:
    """The source whose stream a market can be followed on, None where it can only be polled."""
    first = sources_for(market.symbol.symbol, files=False)[0].name
    return first if first in STREAMED and market.interval in INTERVALS else None


def _series(market: Market) -> StreamedSeries:
    return StreamedSeries(market.symbol.symbol, market.interval)


def _name(source: str) -> str:
    return f"{source} stream"
