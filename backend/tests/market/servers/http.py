"""A small HTTP server on loopback that answers as a source of prices would, at its own time and with its own faults."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.market.servers.faults import NONE, Fault, Faults, Reply
from tests.market.servers.series import Bar, Series, milliseconds

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)

    def whole(self, name: str, default: int) -> int:
        return int(self.query.get(name) or default)


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Server:
    """Subclasses answer; `asked` keeps what they were asked. Used as a context."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or (lambda: datetime.now(UTC))
        self.faults = Faults()
        self.asked: list[Request] = []
        self.series: dict[tuple[str, str], Series] = {}
        # So many requests in all, the next ones are too many; None: no limit.
        self.allowed: int | None = None
        self._lock = Lock()
        self._closing = Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def now(self) -> int:
        return milliseconds(self.clock())

    def add(self, series: Series) -> Series:
        self.series[series.symbol, series.interval] = series
        return series

    def knows(self, symbol: str) -> bool:
        return any(name == symbol for name, _ in self.series)

    def any_series(self, symbol: str) -> Series:
        return next(series for (name, _), series in self.series.items() if name == symbol)

    def shown(self, symbol: str, interval: str, first: int, last: int, fault: Fault) -> list[Bar]:
        series = self.series.get((symbol, interval))
        return fault.bars(series.shown(first, last, self.now)) if series else []

    def answer(self, request: Request, fault: Fault) -> Reply:
        raise NotImplementedError

    def too_many(self) -> Reply:
        return Reply(429, b"Too Many Requests")

    def reply(self, request: Request) -> tuple[Reply, Fault]:
        with self._lock:
            self.asked.append(request)
            too_many = self.allowed is not None and len(self.asked) > self.allowed
        if too_many:
            return self.too_many(), NONE
        fault = self.faults.take(request.path)
        if fault.hangs_seconds:
            self._closing.wait(fault.hangs_seconds)
        reply = fault.reply(self.answer(request, fault))
        headers = {"Date": format_datetime(self.clock(), usegmt=True), "Content-Type": "application/json"}
        return replace(reply, headers=headers | reply.headers), fault


def as_json(status: int, body: Any, **headers: str) -> Reply:
    return Reply(status, json.dumps(body).encode(), {name.replace("_", "-"): value for name, value in headers.items()})


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body in one segment: two would wait for each other, 40 ms a request.
        wbufsize = -1

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            request = Request(url.path, dict(parse_qsl(url.query)), {k.lower(): v for k, v in self.headers.items()})
            reply, fault = server.reply(request)
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if fault.cuts else reply.body)
            self.close_connection = self.close_connection or fault.cuts

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # a client that has lost its patience
                super().handle()

    return Handler
