"""The protocol of Bybit's public WebSocket, version 5: candles as they close.

pybit's own WebSocket is not used: it reconnects without a pause, one frame that is no JSON silently ends it, and a
refused subscription is only logged (pybit 5.17, `_websocket_stream.py`).
"""

import json
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple, Protocol

import pandas as pd
import websocket

from engine.candles import COLUMNS, CandleError, interval_length, validate
from market.errors import ClockSkew, InvalidResponse, SourceDown, SourceError, UnreadableResponse
from market.models import LARGEST_NUMBER
from market.sources.client import venue_symbol

NAME = "bybit stream"
# https://bybit-exchange.github.io/docs/v5/websocket/public/kline
INTERVALS = {
    "1m": "1",
    "3m": "3",
    "5m": "5",
    "15m": "15",
    "30m": "30",
    "1h": "60",
    "2h": "120",
    "4h": "240",
    "6h": "360",
    "12h": "720",
    "1d": "D",
    "1w": "W",
}
NAMES = {theirs: ours for ours, theirs in INTERVALS.items()}
# Above it the server refuses with "args size >10".
MOST_TOPICS_AT_ONCE = 10
TICK_SECONDS = 0.25
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StreamedSeries(NamedTuple):
    """The candles of a symbol and interval as a topic to subscribe to."""

    symbol: str
    interval: str

    @property
    def topic(self) -> str:
        return f"kline.{INTERVALS[self.interval]}.{venue_symbol(self.symbol)}"


class Closed(NamedTuple):
    """A candle that has closed, as a candle frame of one row."""

    series: StreamedSeries
    candle: pd.DataFrame
    sent_at: datetime


class Forming(NamedTuple):
    """The open candle has changed; `price` is the newest one."""

    series: StreamedSeries
    open_time: datetime
    price: float
    sent_at: datetime


class Connected(NamedTuple):
    """All subscriptions are answered. What closed before has to be fetched."""

    series: tuple[StreamedSeries, ...]


class Refused(NamedTuple):
    """The server refuses this subscription."""

    series: StreamedSeries
    problem: str


class Lost(NamedTuple):
    """The connection failed or cannot be trusted; the next try follows after the pause."""

    error: SourceError
    pause_seconds: float


class Tick(NamedTuple):
    """No frame within TICK_SECONDS."""


Event = Closed | Forming | Connected | Refused | Lost | Tick


class RequestReply(NamedTuple):
    """The response to a request such as a subscription."""

    operation: str
    success: bool
    request: str
    problem: str


class Stopping(Protocol):
    def is_set(self) -> bool: ...
    def wait(self, seconds: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """In seconds. Bybit requires a ping every 20 seconds, and updates each candle at least once a minute."""

    connect: float = 10.0
    answer: float = 10.0
    ping: float = 20.0
    silence: float = 45.0
    """Without any frame, pongs included."""
    quiet: float = 150.0
    """Without a candle on any topic."""
    skew: float = 30.0
    """Between the server's clock and ours."""
    first_pause: float = 0.5
    longest_pause: float = 30.0


def parse(text: str | bytes) -> RequestReply | list[Closed | Forming]:
    """The content of a frame. Raises UnreadableResponse or InvalidResponse."""
    try:
        frame = json.loads(text)
    except ValueError as error:
        raise UnreadableResponse(NAME, f"a frame that is no JSON: {_short(text)}") from error
    if not isinstance(frame, dict):
        raise UnreadableResponse(NAME, f"a frame that is no object: {_short(text)}")
    try:
        if "topic" in frame:
            return _candles(frame)
        return RequestReply(
            str(frame["op"]), frame["success"] is True, str(frame.get("req_id", "")), str(frame["ret_msg"])
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UnreadableResponse(NAME, f"a frame in no known form ({error!r}): {_short(text)}") from error


def _candles(frame: dict[str, Any]) -> list[Closed | Forming]:
    kind, _, rest = frame["topic"].partition(".")
    theirs, _, symbol = rest.partition(".")
    if kind != "kline" or theirs not in NAMES:
        raise InvalidResponse(NAME, f"an unrequested topic: {_short(frame['topic'])}")
    sent_at = _time_of(frame["ts"])
    return [_candle(StreamedSeries(symbol, NAMES[theirs]), row, sent_at) for row in frame["data"]]


def _candle(series: StreamedSeries, row: dict[str, Any], sent_at: datetime) -> Closed | Forming:
    opened, length = _time_of(row["start"]), interval_length(series.interval)
    if row["interval"] != INTERVALS[series.interval] or _time_of(row["end"] + 1) - opened != length:
        raise InvalidResponse(NAME, f"{series.topic} sent another interval: {_short(row)}")
    prices = {name: float(row[name]) for name in COLUMNS}
    if row["confirm"] is not True:
        if not 0 < prices["close"] < LARGEST_NUMBER:
            raise InvalidResponse(NAME, f"{series.topic} sent an impossible price: {_short(row)}")
        return Forming(series, opened, prices["close"], sent_at)
    index = pd.DatetimeIndex([opened], dtype="datetime64[us, UTC]", name="open_time")
    try:
        candle = validate(pd.DataFrame(prices, index=index))
    except CandleError as error:
        raise InvalidResponse(NAME, f"{series.topic} sent an impossible candle: {error}") from error
    if opened + length > sent_at + timedelta(seconds=1):
        raise InvalidResponse(NAME, f"{series.topic} sent the candle of {opened:%H:%M} as closed before its end")
    return Closed(series, candle, sent_at)


def _time_of(milliseconds: int) -> datetime:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int):
        raise TypeError(f"{milliseconds!r} is not a time in milliseconds")
    return EPOCH + timedelta(milliseconds=milliseconds)


def _short(content: object) -> str:
    return repr(content)[:120]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class KlineStream:
    """Follows series until it is stopped. Every failure leads to a new connection, after a growing pause.

    The series may change at any time (`follow`): new ones are subscribed to on the open connection.
    """

    def __init__(
        self, url: str, stop: Stopping, timeouts: StreamTimeouts | None = None, now: Callable[[], datetime] = _utc_now
    ) -> None:
        self.url = url
        self.stop = stop
        self.timeouts = timeouts or StreamTimeouts()
        self.now = now
        self.wanted: tuple[StreamedSeries, ...] = ()
        self._failures = 0

    def follow(self, series: Iterable[StreamedSeries]) -> None:
        self.wanted = tuple(sorted(set(series)))

    def events(self) -> Iterator[Event]:
        """Until the stop is set, with a Tick at least every `TICK_SECONDS`."""
        while not self.stop.is_set():
            if not self.wanted:
                yield from self._wait(TICK_SECONDS)
                continue
            try:
                yield from self._connection()
            except SourceError as error:
                pause = self._pause()
                self._failures += 1
                yield Lost(error, pause)
                yield from self._wait(pause)

    def _connection(self) -> Iterator[Event]:
        with closing(Connection(self)) as connection:
            for event in connection.events():
                if isinstance(event, (Closed, Forming)):
                    # Only candles reset the pause: a connection that is closed after each handshake has to wait longer.
                    self._failures = 0
                yield event

    def _pause(self) -> float:
        longest = min(self.timeouts.first_pause * 2.0 ** min(self._failures, 20), self.timeouts.longest_pause)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311

    def _wait(self, seconds: float) -> Iterator[Event]:
        until = monotonic() + seconds
        while not self.stop.is_set() and (left := until - monotonic()) > 0:
            self.stop.wait(min(left, TICK_SECONDS))
            yield Tick()


@dataclass
class Connection:
    """One connection, from its opening to its first failure."""

    stream: KlineStream
    asked: dict[str, tuple[StreamedSeries, ...]] = field(default_factory=dict)
    followed: set[StreamedSeries] = field(default_factory=set)
    refused: set[StreamedSeries] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.timeouts = self.stream.timeouts
        self._socket = self._opened()
        self._requests = 0
        self._announced = False
        self._heard = self._moved = self._pinged = self._asked_at = monotonic()

    def _opened(self) -> websocket.WebSocket:
        try:
            return websocket.create_connection(self.stream.url, timeout=self.timeouts.connect)
        except (OSError, websocket.WebSocketException) as error:
            raise SourceDown(NAME, f"cannot be reached: {_reason(error)}") from error

    def close(self) -> None:
        """Without a close handshake, which a lost server would not answer."""
        self._socket.shutdown()

    def events(self) -> Iterator[Event]:
        while not self.stream.stop.is_set():
            self._subscribe_to_new()
            self._keep_alive()
            text = self._received()
            if text is None:
                self._check_alive()
                yield Tick()
                continue
            self._heard = monotonic()
            content = parse(text)
            yield from self._replied(content) if isinstance(content, RequestReply) else self._checked(content)

    def _subscribe_to_new(self) -> None:
        known = self.followed | self.refused | {series for group in self.asked.values() for series in group}
        new = [series for series in self.stream.wanted if series not in known]
        for start in range(0, len(new), MOST_TOPICS_AT_ONCE):
            self._subscribe(new[start : start + MOST_TOPICS_AT_ONCE])

    def _subscribe(self, group: Collection[StreamedSeries]) -> None:
        self._requests += 1
        request = f"subscribe-{self._requests}"
        self.asked[request] = tuple(group)
        self._asked_at, self._announced = monotonic(), False
        self._send({"op": "subscribe", "req_id": request, "args": [series.topic for series in group]})

    def _keep_alive(self) -> None:
        if monotonic() - self._pinged >= self.timeouts.ping:
            self._pinged = monotonic()
            self._send({"op": "ping", "req_id": "ping"})

    def _check_alive(self) -> None:
        now = monotonic()
        if self.asked and now - self._asked_at > self.timeouts.answer:
            raise SourceDown(NAME, f"no answer to a subscription for {self.timeouts.answer:g} s")
        if now - self._heard > self.timeouts.silence:
            raise SourceDown(NAME, f"silent for {now - self._heard:.0f} s")
        if self.followed and now - self._moved > self.timeouts.quiet:
            raise SourceDown(NAME, f"no candle for {now - self._moved:.0f} s")

    def _replied(self, reply: RequestReply) -> Iterator[Event]:
        if reply.operation != "subscribe" or reply.request not in self.asked:
            return
        group = self.asked.pop(reply.request)
        if reply.success:
            self.followed |= set(group)
        elif len(group) > 1:
            # One unknown name fails the whole request: each alone shows which.
            for series in group:
                self._subscribe([series])
        else:
            self.refused |= set(group)
            yield Refused(group[0], reply.problem)
        if not self.asked and not self._announced:
            self._announced, self._moved = True, monotonic()
            yield Connected(tuple(sorted(self.followed)))

    def _checked(self, candles: list[Closed | Forming]) -> Iterator[Event]:
        for candle in candles:
            self._check_clock(candle.sent_at)
            # A candle may arrive before the reply to its subscription.
            pending = {series for group in self.asked.values() for series in group}
            matching = [series for series in sorted(self.followed | pending) if series.topic == candle.series.topic]
            if not matching:
                raise InvalidResponse(NAME, f"an unrequested topic: {candle.series.topic}")
            self._moved = monotonic()
            for series in matching:
                yield candle._replace(series=series)

    def _check_clock(self, sent_at: datetime) -> None:
        skew = (sent_at - self.stream.now()).total_seconds()
        if abs(skew) > self.timeouts.skew:
            side = "ahead of" if skew > 0 else "behind"
            raise ClockSkew(NAME, f"its clock is {abs(skew):.0f} s {side} ours: freshness cannot be judged")

    def _send(self, request: dict[str, Any]) -> None:
        self._socket.settimeout(self.timeouts.answer)
        try:
            self._socket.send(json.dumps(request))
        except (OSError, websocket.WebSocketException) as error:
            raise SourceDown(NAME, f"the connection broke: {_reason(error)}") from error

    def _received(self) -> str | bytes | None:
        """The next frame, or None after TICK_SECONDS without one."""
        self._socket.settimeout(TICK_SECONDS)
        try:
            text: str | bytes = self._socket.recv()
        except websocket.WebSocketTimeoutException:
            return None
        except UnicodeDecodeError as error:
            raise UnreadableResponse(NAME, "a frame that is not text") from error
        except (OSError, websocket.WebSocketException) as error:
            raise SourceDown(NAME, f"the connection broke: {_reason(error)}") from error
        if not text:
            raise SourceDown(NAME, "the server closed the connection")
        return text


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
