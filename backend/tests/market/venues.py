"""Every real client, each against its own server on loopback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.candles import interval_length
from market.sources.base import Source
from market.sources.client import HttpSettings
from tests.market.servers.binance import BinanceServer
from tests.market.servers.bybit import BybitServer
from tests.market.servers.ccxt import BitstampServer
from tests.market.servers.http import Server, SetClock
from tests.market.servers.series import Series
from tests.market.servers.yahoo import YahooServer

NOW = datetime(2024, 3, 1, 12, 30, 20, tzinfo=UTC)
PATIENT = {"connect_seconds": 5.0, "read_seconds": 5.0}


def bybit(url: str, http: HttpSettings) -> Source:
    from market.sources.bybit import BybitSource

    return BybitSource("spot", url, http)


def linear(url: str, http: HttpSettings) -> Source:
    from market.sources.bybit import BybitSource

    return BybitSource("linear", url, http)


def binance(url: str, http: HttpSettings) -> Source:
    from market.sources.binance import BinanceSource

    return BinanceSource(url, http)


def yahoo(url: str, http: HttpSettings) -> Source:
    from market.sources.yahoo import YahooSource

    return YahooSource(url, http)


def bitstamp(url: str, http: HttpSettings) -> Source:
    from market.sources.ccxt_exchange import CcxtSource

    return CcxtSource("bitstamp", url, http)


@dataclass(frozen=True)
class Kind:
    """A client, its server, and what a symbol is called by us and there."""

    name: str
    make: Callable[[str, HttpSettings], Source]
    server: Callable[[SetClock], Server]
    symbol: str = "BTCUSDT"
    named_there: str = "BTCUSDT"

    def __str__(self) -> str:
        return self.name


KINDS = [
    Kind("bybit", bybit, BybitServer),
    Kind("bybit:linear", linear, lambda clock: BybitServer(clock, category="linear")),
    Kind("binance", binance, BinanceServer),
    Kind("yahoo", yahoo, YahooServer, "BTCUSD", "BTC-USD"),
    Kind("ccxt:bitstamp", bitstamp, BitstampServer, named_there="btcusdt"),
]


@dataclass
class Venue:
    kind: Kind
    server: Server
    clock: SetClock
    source: Source
    symbol: str

    def trades(self, count: int, interval: str = "1h", now: datetime = NOW) -> Series:
        """A market whose last candle is forming at `now`."""
        length = interval_length(interval)
        last = now - (now - datetime(2024, 1, 1, tzinfo=UTC)) % length
        series = self.server.add(Series(self.kind.named_there, interval, last - length * (count - 1), count))
        assert len(series.bars) == count  # made now, and not during the first request
        return series

    def asked(self, ending: str) -> int:
        return sum(ending in request.path for request in self.server.asked)

    def with_http(self, **options: Any) -> Source:
        return self.kind.make(self.server.url, HttpSettings(clock=self.clock, **{**PATIENT, **options}))


@contextmanager
def opened(kind: Kind) -> Iterator[Venue]:
    clock = SetClock(NOW)
    with kind.server(clock) as server:
        source = kind.make(server.url, HttpSettings(clock=clock, **PATIENT))
        yield Venue(kind, server, clock, source, kind.symbol)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)
