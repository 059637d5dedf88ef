"""A server on loopback that speaks Bybit's public WebSocket v5, and can be made to fail.

Its frames have the shape of recorded ones. It checks what Bybit checks: the operation, the number of topics in one
request, and whether it knows a topic.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pandas as pd
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from engine.candles import interval_length
from market.sources.bybit_stream import INTERVALS, MOST_TOPICS_AT_ONCE

Frame = dict[str, Any]
QUIET = logging.Logger("quiet", logging.CRITICAL)


def utc_now() -> datetime:
    return datetime.now(UTC)


class BybitStream:
    """`known` are the symbols that it has; `now` is its clock."""

    def __init__(self, known: Iterable[str], now: Callable[[], datetime] = utc_now, interval: str = "1m") -> None:
        self.known = frozenset(known)
        self.now = now
        self.interval = interval
        self.refusing = False
        self.silent = False
        """Connections stand, and nothing is said any more: no candle, no answer, no pong."""
        self.connections = 0
        self.requests: list[Frame] = []
        self._topics: dict[ServerConnection, set[str]] = {}
        self._lock = threading.Lock()
        self._server: Server | None = None

    def __enter__(self) -> "BybitStream":
        options: dict[str, Any] = {"process_request": self._greet, "close_timeout": 0.1, "logger": QUIET}
        self._server = serve(self._talk, "127.0.0.1", 0, **options)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self.drop()
        self._server.shutdown()
        self._thread.join(5)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/v5/public/spot"

    @property
    def topics(self) -> set[str]:
        """What is subscribed to on any connection."""
        with self._lock:
            return set().union(*self._topics.values())

    def close_candle(self, symbol: str, time: pd.Timestamp, candle: "pd.Series[float]", **changes: Any) -> None:
        """Tells that a candle has closed."""
        self.tell(kline(symbol, self.interval, time, candle, self.now(), confirm=True, **changes))

    def form_candle(self, symbol: str, time: pd.Timestamp, candle: "pd.Series[float]") -> None:
        self.tell(kline(symbol, self.interval, time, candle, self.now(), confirm=False))

    def tell(self, frame: Frame) -> None:
        """To whoever has subscribed to its topic."""
        self._send(json.dumps(frame, separators=(",", ":")), frame["topic"])

    def say(self, text: str | bytes) -> None:
        """To everybody, whatever it is."""
        self._send(text, None)

    def drop(self) -> None:
        """Every connection breaks, without a closing frame."""
        with self._lock:
            connections = list(self._topics)
        for connection in connections:
            with suppress(OSError):
                connection.socket.shutdown(2)

    def close_politely(self) -> None:
        with self._lock:
            connections = list(self._topics)
        for connection in connections:
            connection.close()

    def _send(self, text: str | bytes, topic: str | None) -> None:
        if self.silent:
            return
        with self._lock:
            meant = [it for it, topics in self._topics.items() if topic is None or topic in topics]
        for connection in meant:
            with suppress(ConnectionClosed, OSError):
                connection.send(text)

    def _greet(self, connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(503, "Service Unavailable\n") if self.refusing else None

    def _talk(self, connection: ServerConnection) -> None:
        name = str(uuid4())
        with self._lock:
            self.connections += 1
            self._topics[connection] = set()
        try:
            for text in connection:
                request = json.loads(text)
                self.requests.append(request)
                answer = {**self._answer(connection, request), "conn_id": name, "req_id": request.get("req_id", "")}
                if not self.silent:
                    connection.send(json.dumps(answer, separators=(",", ":")))
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self._lock:
                self._topics.pop(connection, None)

    def _answer(self, connection: ServerConnection, request: Frame) -> Frame:
        operation, args = request.get("op"), request.get("args", [])
        if operation == "ping":
            return {"success": True, "ret_msg": "pong", "op": "ping"}
        if operation != "subscribe":
            return {"success": False, "ret_msg": f"error:unknown op {operation}", "op": ""}
        if len(args) > MOST_TOPICS_AT_ONCE:
            return {"success": False, "ret_msg": f"args size >{MOST_TOPICS_AT_ONCE}", "op": "subscribe"}
        unknown = [topic for topic in args if not self._knows(topic)]
        if unknown:
            return {"success": False, "ret_msg": f"error:handler not found,topic:{unknown[0]}", "op": "subscribe"}
        with self._lock:
            self._topics[connection] |= set(args)
        return {"success": True, "ret_msg": "", "op": "subscribe"}

    def _knows(self, topic: str) -> bool:
        kind, _, rest = topic.partition(".")
        interval, _, symbol = rest.partition(".")
        return kind == "kline" and interval in INTERVALS.values() and symbol in self.known


def kline(
    symbol: str,
    interval: str,
    time: pd.Timestamp,
    candle: "pd.Series[float]",
    now: datetime,
    /,
    *,
    confirm: bool,
    **changes: Any,
) -> Frame:
    """A frame of a kline topic; `changes` are made to its one row."""
    start, said = int(time.timestamp() * 1000), int(now.timestamp() * 1000)
    length = int(interval_length(interval).total_seconds() * 1000)
    prices = {name: repr(float(candle[name])) for name in ("open", "close", "high", "low", "volume")}
    row = {"start": start, "end": start + length - 1, "interval": INTERVALS[interval], **prices}
    row |= {"turnover": repr(float(candle["volume"] * candle["close"])), "confirm": confirm, "timestamp": said}
    return {
        "topic": f"kline.{INTERVALS[interval]}.{symbol}",
        "data": [row | changes],
        "ts": said,
        "type": "snapshot",
    }
