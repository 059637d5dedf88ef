"""The newest prices of live markets, fetched outside of the transactions that trade at them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from market.models import Symbol
from market.sources.base import Price
from trading.live.thread_pool import Crew

Ask = Callable[[Symbol], Price]

# One fetch serves all that is decided in the same moment.
FRESH = timedelta(seconds=2)
# After it the others go on; whatever still waits for its quote is looked at in the next turn.
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Quoted:
    price: Price
    asked_at: datetime


class LiveQuotes:
    """`problems` says of each symbol why there is no fresh quote."""

    def __init__(self, ask: Ask, now: Callable[[], datetime], members: int) -> None:
        self.ask = ask
        self.now = now
        self.problems: dict[str, Exception] = {}
        self._crew: Crew[str] = Crew(members)
        self._known: dict[str, Quoted] = {}

    def fetch(self, wanted: Mapping[Symbol, datetime]) -> None:
        """Asks, all at once, for those that have not been asked for since the given times, or are not fresh."""
        asked = [symbol for symbol, since in wanted.items() if not self._is_fresh(symbol.symbol, since)]
        for symbol in asked:
            self._crew.submit(symbol.symbol, partial(self._fetch, symbol))
        self._crew.wait([symbol.symbol for symbol in asked], PATIENCE_SECONDS)
        for outcome in self._crew.outcomes():
            if outcome.error is None:
                self.problems.pop(outcome.key, None)
            else:
                self.problems[outcome.key] = outcome.error

    def after(self, symbol: str, time: datetime) -> Price | None:
        """The newest known price with its age, unless it is of before `time`. Asks nobody."""
        quoted = self._known.get(symbol)
        if quoted is None or quoted.price.time < time:
            return None
        age = (self.now() - quoted.price.time).total_seconds()
        return quoted.price._replace(age_seconds=max(age, 0.0))

    def _fetch(self, symbol: Symbol) -> None:
        asked_at = self.now()
        self._known[symbol.symbol] = Quoted(self.ask(symbol), asked_at)

    def _is_fresh(self, symbol: str, since: datetime) -> bool:
        quoted = self._known.get(symbol)
        return quoted is not None and quoted.asked_at >= since and self.now() - quoted.asked_at < FRESH
