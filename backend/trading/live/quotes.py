"""The newest prices of live markets, fetched outside of the transactions that trade at them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from market.models import Symbol
from market.sources.base import Price
from trading.live.thread_pool import ThreadPool

FetchPrice = Callable[[Symbol], Price]

# One fetch serves all decisions of the same moment.
FRESH = timedelta(seconds=2)
# `fetch` returns after this time; quotes that arrive later are used in the next cycle.
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Quoted:
    price: Price
    asked_at: datetime


class LiveQuotes:
    """`problems` holds, by symbol, why there is no fresh quote."""

    def __init__(self, fetch_price: FetchPrice, now: Callable[[], datetime], workers: int) -> None:
        self.fetch_price = fetch_price
        self.now = now
        self.problems: dict[str, Exception] = {}
        self._pool: ThreadPool[str] = ThreadPool(workers)
        self._known: dict[str, Quoted] = {}

    def fetch(self, wanted: Mapping[Symbol, datetime]) -> None:
        """Fetches, in parallel, the quotes that are not fresh or were requested before the given times."""
        missing = [symbol for symbol, since in wanted.items() if not self._is_fresh(symbol.symbol, since)]
        for symbol in missing:
            self._pool.submit(symbol.symbol, partial(self._fetch, symbol))
        self._pool.wait([symbol.symbol for symbol in missing], PATIENCE_SECONDS)
        for result in self._pool.results():
            if result.error is None:
                self.problems.pop(result.key, None)
            else:
                self.problems[result.key] = result.error

    def after(self, symbol: str, time: datetime) -> Price | None:
        """The newest known price with its age in seconds, or None if it is of before `time`. Sends no request."""
        quoted = self._known.get(symbol)
        if quoted is None or quoted.price.time < time:
            return None
        age = (self.now() - quoted.price.time).total_seconds()
        return quoted.price._replace(age_seconds=max(age, 0.0))

    def _fetch(self, symbol: Symbol) -> None:
        asked_at = self.now()
        self._known[symbol.symbol] = Quoted(self.fetch_price(symbol), asked_at)

    def _is_fresh(self, symbol: str, since: datetime) -> bool:
        quoted = self._known.get(symbol)
        return quoted is not None and quoted.asked_at >= since and self.now() - quoted.asked_at < FRESH
