"""Bybit's public WebSocket, version 5: candles as they close. The protocol alone; who takes them is not known here.

pybit's own WebSocket is not used: it reconnects without a pause, one frame that is no JSON ends it in silence, and a
subscription that was refused is only logged (pybit 5.17, `_websocket_stream.py`).
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
from market.errors import BadAnswer, ClockSkew, GarbledAnswer, SourceDown, SourceError
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
# More are answered with "args size >10".
MOST_TOPICS_AT_ONCE = 10
TICK_SECONDS = 0.25
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Series(NamedTuple):
    """What is subscribed to."""

    symbol: str
    interval: str

    @property
    def topic(self) -> str:
        return f"kline.{INTERVALS[self.interval]}.{venue_symbol(self.symbol)}"


class Closed(NamedTuple):
    """A candle that has closed, as a candle frame of one row."""

    series: Series
    candle: pd.DataFrame
    said_at: datetime


class Forming(NamedTuple):
    """The candle that is still open has changed: the topic is alive, and `price` is the newest one."""

    series: Series
    open_time: datetime
    price: float
    said_at: datetime


class Connected(NamedTuple):
    """Everything that was asked for is followed from here on. What closed before has to be fetched."""

    series: tuple[Series, ...]


class Refused(NamedTuple):
    """The server will not tell about this one."""

    series: Series
    problem: str


class Lost(NamedTuple):
    """The connection is gone, or cannot be trusted; the next try comes after the pause."""

    error: SourceError
    pause_seconds: float


class Tick(NamedTuple):
    """Nothing has come for a moment."""


Event = Closed | Forming | Connected | Refused | Lost | Tick


class Answer(NamedTuple):
    """What the server says to a request of ours."""

    operation: str
    success: bool
    request: str
    problem: str


class Stopping(Protocol):
    def is_set(self) -> bool: ...
    def wait(self, seconds: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. Bybit asks for a ping every 20 seconds, and tells about a candle at least once a minute."""

    connect: float = 10.0
    answer: float = 10.0
    ping: float = 20.0
    silence: float = 45.0
    """Without a word, not even a pong."""
    quiet: float = 150.0
    """Without a candle on any topic."""
    skew: float = 30.0
    """Between the server's clock and ours."""
    first_pause: float = 0.5
    longest_pause: float = 30.0


def parse(text: str | bytes) -> Answer | list[Closed | Forming]:
    """What a frame says. Raises GarbledAnswer for what cannot be read, BadAnswer for what cannot be true."""
    try:
        frame = json.loads(text)
    except ValueError as error:
        raise GarbledAnswer(NAME, f"a frame that is no JSON: {_short(text)}") from error
    if not isinstance(frame, dict):
        raise GarbledAnswer(NAME, f"a frame that is no object: {_short(text)}")
    try:
        if "topic" in frame:
            return _candles(frame)
        return Answer(str(frame["op"]), frame["success"] is True, str(frame.get("req_id", "")), str(frame["ret_msg"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise GarbledAnswer(NAME, f"a frame in no known form ({error!r}): {_short(text)}") from error


def _candles(frame: dict[str, Any]) -> list[Closed | Forming]:
    kind, _, rest = frame["topic"].partition(".")
    theirs, _, symbol = rest.partition(".")
    if kind != "kline" or theirs not in NAMES:
        raise BadAnswer(NAME, f"a topic that nobody asked for: {_short(frame['topic'])}")
    said_at = _moment(frame["ts"])
    return [_candle(Series(symbol, NAMES[theirs]), row, said_at) for row in frame["data"]]


def _candle(series: Series, row: dict[str, Any], said_at: datetime) -> Closed | Forming:
    opened, length = _moment(row["start"]), interval_length(series.interval)
    if row["interval"] != INTERVALS[series.interval] or _moment(row["end"] + 1) - opened != length:
        raise BadAnswer(NAME, f"{series.topic} told about another interval: {_short(row)}")
    prices = {name: float(row[name]) for name in COLUMNS}
    if row["confirm"] is not True:
        if not 0 < prices["close"] < LARGEST_NUMBER:
            raise BadAnswer(NAME, f"{series.topic} told of an impossible price: {_short(row)}")
        return Forming(series, opened, prices["close"], said_at)
    index = pd.DatetimeIndex([opened], dtype="datetime64[us, UTC]", name="open_time")
    try:
        candle = validate(pd.DataFrame(prices, index=index))
    except CandleError as error:
        raise BadAnswer(NAME, f"{series.topic} told of an impossible candle: {error}") from error
    if opened + length > said_at + timedelta(seconds=1):
        raise BadAnswer(NAME, f"{series.topic} says that the candle of {opened:%H:%M} has closed before its end")
    return Closed(series, candle, said_at)


def _moment(milliseconds: int) -> datetime:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int):
        raise TypeError(f"{milliseconds!r} is no time in milliseconds")
    return EPOCH + timedelta(milliseconds=milliseconds)


def _short(said: object) -> str:
    return repr(said)[:120]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class KlineStream:
    """Follows series until it is stopped. Whatever goes wrong ends in a new connection, after a growing pause.

    The series may change at any time (`follow`): new ones are subscribed to on the connection that stands.
    """

    def __init__(
        self, url: str, stop: Stopping, patience: Patience | None = None, now: Callable[[], datetime] = _utc_now
    ) -> None:
        self.url = url
        self.stop = stop
        self.patience = patience or Patience()
        self.now = now
        self.wanted: tuple[Series, ...] = ()
        self._failures = 0

    def follow(self, series: Iterable[Series]) -> None:
        self.wanted = tuple(sorted(set(series)))

    def events(self) -> Iterator[Event]:
        """Until the stop is set, with a Tick at least every `TICK_SECONDS`."""
        while not self.stop.is_set():
            if not self.wanted:
                yield from self._rest(TICK_SECONDS)
                continue
            try:
                yield from self._connection()
            except SourceError as error:
                pause = self._pause()
                self._failures += 1
                yield Lost(error, pause)
                yield from self._rest(pause)

    def _connection(self) -> Iterator[Event]:
        with closing(Connection(self)) as connection:
            for event in connection.events():
                if isinstance(event, (Closed, Forming)):
                    # It works only when candles come: one that is dropped after each greeting has to wait longer.
                    self._failures = 0
                yield event

    def _pause(self) -> float:
        longest = min(self.patience.first_pause * 2.0 ** min(self._failures, 20), self.patience.longest_pause)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311

    def _rest(self, seconds: float) -> Iterator[Event]:
        until = monotonic() + seconds
        while not self.stop.is_set() and (left := until - monotonic()) > 0:
            self.stop.wait(min(left, TICK_SECONDS))
            yield Tick()


@dataclass
class Connection:
    """One connection, from its opening to the first thing that goes wrong."""

    stream: KlineStream
    asked: dict[str, tuple[Series, ...]] = field(default_factory=dict)
    followed: set[Series] = field(default_factory=set)
    refused: set[Series] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.patience = self.stream.patience
        self._socket = self._opened()
        self._requests = 0
        self._announced = False
        self._heard = self._moved = self._pinged = self._asked_at = monotonic()

    def _opened(self) -> websocket.WebSocket:
        try:
            return websocket.create_connection(self.stream.url, timeout=self.patience.connect)
        except (OSError, websocket.WebSocketException) as error:
            raise SourceDown(NAME, f"cannot be reached: {_reason(error)}") from error

    def close(self) -> None:
        """Without waiting for an answer: whoever is gone would not give one."""
        self._socket.shutdown()

    def events(self) -> Iterator[Event]:
        while not self.stream.stop.is_set():
            self._subscribe_to_new()
            self._keep_alive()
            text = self._received()
            if text is None:
                self._is_still_there()
                yield Tick()
                continue
            self._heard = monotonic()
            said = parse(text)
            yield from self._answered(said) if isinstance(said, Answer) else self._told(said)

    def _subscribe_to_new(self) -> None:
        known = self.followed | self.refused | {series for group in self.asked.values() for series in group}
        new = [series for series in self.stream.wanted if series not in known]
        for start in range(0, len(new), MOST_TOPICS_AT_ONCE):
            self._subscribe(new[start : start + MOST_TOPICS_AT_ONCE])

    def _subscribe(self, group: Collection[Series]) -> None:
        self._requests += 1
        request = f"subscribe-{self._requests}"
        self.asked[request] = tuple(group)
        self._asked_at, self._announced = monotonic(), False
        self._send({"op": "subscribe", "req_id": request, "args": [series.topic for series in group]})

    def _keep_alive(self) -> None:
        if monotonic() - self._pinged >= self.patience.ping:
            self._pinged = monotonic()
            self._send({"op": "ping", "req_id": "ping"})

    def _is_still_there(self) -> None:
        now = monotonic()
        if self.asked and now - self._asked_at > self.patience.answer:
            raise SourceDown(NAME, f"no answer to a subscription for {self.patience.answer:g} s")
        if now - self._heard > self.patience.silence:
            raise SourceDown(NAME, f"silent for {now - self._heard:.0f} s")
        if self.followed and now - self._moved > self.patience.quiet:
            raise SourceDown(NAME, f"no candle for {now - self._moved:.0f} s")

    def _answered(self, answer: Answer) -> Iterator[Event]:
        if answer.operation != "subscribe" or answer.request not in self.asked:
            return
        group = self.asked.pop(answer.request)
        if answer.success:
            self.followed |= set(group)
        elif len(group) > 1:
            # One bad name spoils the request: each alone shows which.
            for series in group:
                self._subscribe([series])
        else:
            self.refused |= set(group)
            yield Refused(group[0], answer.problem)
        if not self.asked and not self._announced:
            self._announced, self._moved = True, monotonic()
            yield Connected(tuple(sorted(self.followed)))

    def _told(self, candles: list[Closed | Forming]) -> Iterator[Event]:
        for candle in candles:
            self._is_in_time(candle.said_at)
            meant = self._meant(candle.series.topic)
            if not meant:
                raise BadAnswer(NAME, f"a topic that nobody asked for: {candle.series.topic}")
            self._moved = monotonic()
            for series in meant:
                yield candle._replace(series=series)

    def _meant(self, topic: str) -> list[Series]:
        """Whose topic it is. A candle may come before the answer to its subscription."""
        asked = {series for group in self.asked.values() for series in group}
        return [series for series in sorted(self.followed | asked) if series.topic == topic]

    def _is_in_time(self, said_at: datetime) -> None:
        skew = (said_at - self.stream.now()).total_seconds()
        if abs(skew) > self.patience.skew:
            side = "ahead of" if skew > 0 else "behind"
            raise ClockSkew(NAME, f"its clock is {abs(skew):.0f} s {side} ours: nobody could tell fresh from stale")

    def _send(self, request: dict[str, Any]) -> None:
        self._socket.settimeout(self.patience.answer)
        try:
            self._socket.send(json.dumps(request))
        except (OSError, websocket.WebSocketException) as error:
            raise SourceDown(NAME, f"the connection broke: {_reason(error)}") from error

    def _received(self) -> str | bytes | None:
        """The next frame, or None when none has come for a moment."""
        self._socket.settimeout(TICK_SECONDS)
        try:
            text: str | bytes = self._socket.recv()
        except websocket.WebSocketTimeoutException:
            return None
        except UnicodeDecodeError as error:
            raise GarbledAnswer(NAME, "a frame that is no text") from error
        except (OSError, websocket.WebSocketException) as error:
            raise SourceDown(NAME, f"the connection broke: {_reason(error)}") from error
        if not text:
            raise SourceDown(NAME, "the server closed the connection")
        return text


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
