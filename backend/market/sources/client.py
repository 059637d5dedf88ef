"""What every HTTP client of a source needs: request policy, timeouts, clock and decoding."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec

from market.errors import ClockSkew, InvalidResponse, UnreadableResponse

Value = TypeVar("Value")


class RequestPolicy(Protocol):
    """How a request is made: with which budget, retries and circuit breaker (market.sources.resilience)."""

    def __call__(self, ask: Callable[[], Value], weight: int = 1) -> Value: ...


def unguarded(ask: Callable[[], Value], weight: int = 1) -> Value:
    return ask()


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class HttpSettings:
    """`clock` is this machine's; whether a candle has closed is decided by the clock of the source."""

    guard: RequestPolicy = unguarded
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    clock: Callable[[], datetime] = field(default=utc_now)
    # A wrong clock would make stale data look fresh, or forming candles look closed.
    largest_skew_seconds: float = 30.0

    @property
    def timeout(self) -> tuple[float, float]:
        return self.connect_seconds, self.read_seconds

    def check_clock(self, source: str, there: datetime) -> datetime:
        """The time at the source; raises ClockSkew where ours differs too much."""
        here = self.clock()
        if abs((there - here).total_seconds()) > self.largest_skew_seconds:
            raise ClockSkew(source, f"its clock says {there:%Y-%m-%d %H:%M:%S} UTC, ours {here:%Y-%m-%d %H:%M:%S} UTC")
        return there


def decoded(source: str, body: bytes, shape: type[Value]) -> Value:
    """A JSON body as a value. Raises UnreadableResponse or InvalidResponse."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise InvalidResponse(source, f"its response has an unknown form: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableResponse(source, "its response cannot be parsed: no JSON, or cut off") from error


def converted(source: str, answer: Any, shape: type[Value]) -> Value:
    """Parsed JSON as a value. Raises InvalidResponse."""
    try:
        return msgspec.convert(answer, shape)
    except msgspec.ValidationError as error:
        raise InvalidResponse(source, f"its response has an unknown form: {error}") from error


def venue_symbol(symbol: str) -> str:
    """As Bybit and Binance write it: BTC-USDT is BTCUSDT."""
    return symbol.replace("-", "")
