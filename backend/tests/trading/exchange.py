"""An exchange on loopback: REST and stream of the same candles, on a clock that is moved by hand or runs fast."""

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

import pandas as pd

from market.ingestion.backfill import fill_gaps
from market.ingestion.candles import ingest
from market.models import Symbol
from market.sources import choice
from market.sources.bybit import BybitSource
from market.sources.client import HttpSettings
from market.sources.resilience import BreakerPolicy, RequestGuard, RetryPolicy
from tests.market.servers import faults
from tests.market.servers.bybit import BybitServer
from tests.market.servers.bybit_ws import BybitStream
from tests.market.servers.series import Bar, Series, moment

MINUTE = timedelta(minutes=1)
START = datetime(2024, 3, 6, 12, tzinfo=UTC)
# Until then the exchange has a closed candle ready, and a poll calls it overdue.
SETTLED = timedelta(seconds=3)


class Exchange:
    """Minutes of each symbol: `past` of them have closed at START, `future` are to come."""

    def __init__(self, symbols: Iterable[str], past: int = 100, future: int = 200) -> None:
        self.time = START + SETTLED
        self.past = past
        self.truth = {
            symbol: Series(symbol, "1m", START - past * MINUTE, past + future, seed)
            for seed, symbol in enumerate(symbols)
        }
        self.rest = BybitServer(lambda: self.now())
        for series in self.truth.values():
            self.rest.add(series)
        self.stream = BybitStream(self.truth, lambda: self.now())
        self.left_out: set[tuple[str, datetime]] = set()
        """Symbol and open time of what an answer over REST did not show although it had closed."""
        self._open = ExitStack()

    def now(self) -> datetime:
        return self.time

    def __enter__(self) -> "Exchange":
        self._open.enter_context(self.rest)
        self._open.enter_context(self.stream)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def closed(self) -> int:
        """How many candles of each symbol have closed."""
        return self.past + int((self.now() - START) / MINUTE)

    def opens(self, count: int | None = None) -> list[datetime]:
        """The open times of the last closed candles, or of all."""
        first = 0 if count is None else self.closed - count
        return [START + (row - self.past) * MINUTE for row in range(first, self.closed)]

    def pass_minutes(self, count: int = 1, *, told: bool = True) -> None:
        """Lets candles close, and the stream tell of them."""
        for _ in range(count):
            self.time += MINUTE
            if told:
                self.tell(self.closed - 1)

    def tell(self, row: int, **changes: Any) -> None:
        """The stream tells of the candle of that row; `changes` are made to what it says."""
        for symbol, series in self.truth.items():
            self.stream.close_candle(symbol, *as_candle(series.bars[row]), **changes)

    def leave_out(self, times: int = 1_000_000) -> None:
        """The candle in the middle of the next answers over REST."""
        self.rest.faults.add(faults.spoilt("missing candle", self._left_out), times, "kline")

    def _left_out(self, bars: list[Bar], row: int) -> None:
        symbol = next(symbol for symbol, series in self.truth.items() if any(bar is bars[row] for bar in series.bars))
        self.left_out.add((symbol, moment(bars[row].time)))

    def source(self, retries: RetryPolicy | None = None) -> BybitSource:
        """A real client that gives up soon."""
        retries = retries or RetryPolicy(attempts=1, first_wait_seconds=0.01, total_seconds=1.0)
        # Its circuit breaker is not what is looked at here: it would stay open for longer than a test.
        http = HttpSettings(
            RequestGuard("bybit", retries=retries, pause=BreakerPolicy(seconds=0.05)), 1.0, 1.0, clock=self.now
        )
        return BybitSource("spot", self.rest.url, http)

    def fetch(self) -> Callable[[Symbol, str, datetime], None]:
        """As trading.live.feeds.keep_up, from this exchange alone."""
        asked = partial(choice.fetch, sources=[self.source()])

        def keep_up(symbol: Symbol, interval: str, now: datetime) -> None:
            ingest(symbol, interval, asked, now)
            fill_gaps(symbol, interval, asked, now)

        return keep_up


class FastExchange(Exchange):
    """Its minutes pass by themselves, each in so many seconds, and its stream tells of each candle a moment later."""

    def __init__(self, symbols: Iterable[str], minute_seconds: float, past: int = 100, future: int = 200) -> None:
        super().__init__(symbols, past, future)
        self.minute_seconds = minute_seconds
        self.mute: Callable[[int], bool] = lambda row: False
        """Of which candles the stream does not tell."""
        self._begun = monotonic()
        self._ending = threading.Event()

    def now(self) -> datetime:
        return START + SETTLED + MINUTE * ((monotonic() - self._begun) / self.minute_seconds)

    def __enter__(self) -> "FastExchange":
        super().__enter__()
        self._begun = monotonic()
        self._publisher = threading.Thread(target=self._publish, daemon=True)
        self._publisher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._publisher.join(5)
        super().__exit__()

    def _publish(self) -> None:
        told = self.closed
        while not self._ending.wait(self.minute_seconds / 10):
            for row in range(told, self.closed):
                if not self.mute(row):
                    self.tell(row)
            told = self.closed


def as_candle(bar: Bar) -> "tuple[pd.Timestamp, pd.Series[float]]":
    names = ("open", "high", "low", "close", "volume")
    return pd.Timestamp(moment(bar.time)), pd.Series({name: float(getattr(bar, name)) for name in names})
