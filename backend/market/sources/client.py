"""What every client of a source over the network needs: how it asks, how long it waits, and what time it is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec

from market.errors import BadAnswer, ClockSkew, GarbledAnswer

Value = TypeVar("Value")


class Guard(Protocol):
    """What stands between a client and the network: budget, retries, circuit breaker (market.sources.resilience)."""

    def __call__(self, ask: Callable[[], Value], weight: int = 1) -> Value: ...


def unguarded(ask: Callable[[], Value], weight: int = 1) -> Value:
    return ask()


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Line:
    """How a client asks. `clock` is this machine's; the candles are measured by the clock of the source."""

    guard: Guard = unguarded
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    clock: Callable[[], datetime] = field(default=utc_now)
    # A wrong clock would make stale data look fresh, or candles look closed that are not.
    largest_skew_seconds: float = 30.0

    @property
    def timeout(self) -> tuple[float, float]:
        return self.connect_seconds, self.read_seconds

    def check_clock(self, source: str, there: datetime) -> datetime:
        """The time at the source; raises ClockSkew where ours is another."""
        here = self.clock()
        if abs((there - here).total_seconds()) > self.largest_skew_seconds:
            raise ClockSkew(source, f"its clock says {there:%Y-%m-%d %H:%M:%S} UTC, ours {here:%Y-%m-%d %H:%M:%S} UTC")
        return there


def decoded(source: str, body: bytes, shape: type[Value]) -> Value:
    """A JSON body as a value. Raises GarbledAnswer or BadAnswer."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise BadAnswer(source, f"its answer has another form than agreed: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GarbledAnswer(source, "its answer cannot be read: not, or not the whole of, a JSON text") from error


def converted(source: str, answer: Any, shape: type[Value]) -> Value:
    """What a library has read from JSON, as a value. Raises BadAnswer."""
    try:
        return msgspec.convert(answer, shape)
    except msgspec.ValidationError as error:
        raise BadAnswer(source, f"its answer has another form than agreed: {error}") from error


def venue_symbol(symbol: str) -> str:
    """As Bybit and Binance write it: BTC-USDT is BTCUSDT."""
    return symbol.replace("-", "")
