"""What can go wrong between a source and us: each fault is added to a server for some of its requests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from threading import Lock

from tests.market.servers.series import Bar

Bars = list[Bar]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """`bars` spoils the candles before they are written down, `reply` the finished answer, `wire` its way to us."""

    name: str
    bars: Callable[[Bars], Bars] = lambda bars: bars
    reply: Callable[[Reply], Reply] = lambda reply: reply
    symbol: Callable[[str], str] = lambda symbol: symbol
    hangs_seconds: float = 0.0
    cuts: bool = False

    def __str__(self) -> str:
        return self.name


NONE = Fault("none")


class Faults:
    """Which requests go wrong: the next `times` whose path ends with `path`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[tuple[Fault, str, int]] = []

    def add(self, fault: Fault, times: int = 1_000_000, path: str = "") -> None:
        with self._lock:
            self._waiting.append((fault, path, times))

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(self, path: str) -> Fault:
        with self._lock:
            for at, (fault, ending, times) in enumerate(self._waiting):
                if path.rstrip("/").endswith(ending):
                    self._waiting[at : at + 1] = [(fault, ending, times - 1)] if times > 1 else []
                    return fault
        return NONE


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    note = "".join(f", {name} {value}" for name, value in named.items())
    return Fault(f"HTTP {code}{note}", reply=lambda _: Reply(code, body, named))


def hanging(seconds: float) -> Fault:
    return Fault(f"silent for {seconds} s", hangs_seconds=seconds)


def body(name: str, change: Callable[[bytes], bytes]) -> Fault:
    return Fault(name, reply=lambda reply: replace(reply, body=change(reply.body)))


def spoilt(name: str, change: Callable[[Bars, int], Bar | None]) -> Fault:
    """Changes the candle in the middle of an answer, or leaves it out."""

    def bars(given: Bars) -> Bars:
        middle = len(given) // 2
        return list(_with(given, middle, change(given, middle))) if len(given) > 2 else given

    return Fault(name, bars=bars)


def _with(bars: Bars, row: int, bar: Bar | None) -> Iterator[Bar]:
    yield from bars[:row]
    if bar is not None:
        yield bar
    yield from bars[row + 1 :]


def _swapped(bars: Bars) -> Bars:
    middle = len(bars) // 2
    return [*bars[: middle - 1], bars[middle], bars[middle - 1], *bars[middle + 1 :]] if len(bars) > 2 else bars


SERVER_ERROR = status(503, b"<html>Service Unavailable</html>")
TRUNCATED = body("truncated JSON", lambda text: text[: len(text) * 2 // 3])
INVALID = body("invalid JSON", lambda _: b"<html><body>We will be right back</body></html>")
OTHER_JSON = body("JSON of another form", lambda _: b'{"hello": ["world"]}')
CUT_OFF = Fault("cut off on its way", cuts=True)
EMPTY = Fault("empty list", bars=lambda _: [])
NOT_A_NUMBER = spoilt("NaN price", lambda bars, row: replace(bars[row], close="NaN"))
ZERO_PRICE = spoilt("zero price", lambda bars, row: replace(bars[row], open="0", high="0", low="0", close="0"))
HIGH_BELOW_LOW = spoilt("high below low", lambda bars, row: replace(bars[row], high=bars[row].low, low=bars[row].high))
BACKWARDS = Fault("time going backwards", bars=_swapped)
DUPLICATED = spoilt("duplicated candle", lambda bars, row: bars[row - 1])
MISSING = spoilt("missing candle", lambda bars, row: None)
OFF_GRID = spoilt("time between candles", lambda bars, row: replace(bars[row], time=bars[row].time + 1000))
OTHER_SYMBOL = Fault("wrong symbol", symbol=lambda _: "DOGEUSDT")
