"""Failures that must not stop a loop: those of one market, and outages of the database."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from django.db import connection

from engine.candles import CandleError
from market.errors import MarketError, gist, reason
from trading.agents import journal
from trading.messages.adapter import OUTAGES
from trading.runtime.stop import Stop
from trading.selectors.markets import Market

logger = logging.getLogger(__name__)

LONGEST_BACKOFF_SECONDS = 15.0


@dataclass
class MarketFailures:
    """Isolates markets from each other: a failure is logged, shown to the followers of its market, and not raised.

    `say` gets one line when the reason changes and one when the market recovers. A market whose failure was isolated is
    paused for `pause_seconds`.
    """

    say: Callable[[str], None]
    pause_seconds: float = 0.0
    reported: dict[Market, str] = field(default_factory=dict)
    _not_before: dict[Market, float] = field(default_factory=dict)

    def isolate(self, market: Market, act: Callable[[Market], object]) -> bool:
        """False when `act` failed or returned False. Raises OUTAGES, which concern all markets."""
        try:
            return act(market) is not False
        except OUTAGES:
            raise
        except Exception as error:
            self._not_before[market] = monotonic() + self.pause_seconds
            self.report(market, error)
            return False

    def is_paused(self, market: Market) -> bool:
        return monotonic() < self._not_before.get(market, 0.0)

    def report(self, market: Market, error: Exception) -> None:
        """Raises OUTAGES."""
        if isinstance(error, OUTAGES):
            raise error
        if self.reported.get(market) != gist(reason(error)):
            self.reported[market] = gist(reason(error))
            expected = isinstance(error, (MarketError, CandleError))
            logger.log(logging.DEBUG if expected else logging.ERROR, "%s failed", market, exc_info=error)
            journal.not_observed(market.symbol, market.interval, error)
            self.say(f"{market}: {error}")

    def recovered(self, market: Market) -> bool:
        """Whether a failure had been reported."""
        if had_failed := self.reported.pop(market, None) is not None:
            self.say(f"{market}: goes on")
        return had_failed


@dataclass
class DatabaseOutage:
    """Waits between attempts while the database does not answer, longer after each attempt."""

    say: Callable[[str], None]
    stop: Stop
    _attempts: int = 0

    def wait(self, error: Exception) -> None:
        if not self._attempts:
            self.say(f"the database does not answer, trying again: {str(error).strip().splitlines()[0]}")
        self._attempts += 1
        connection.close()
        self.stop.wait(min(0.5 * 2.0**self._attempts, LONGEST_BACKOFF_SECONDS) * random.uniform(0.5, 1.0))  # noqa: S311

    def is_over(self) -> None:
        if self._attempts:
            self._attempts = 0
            self.say("the database answers again")
