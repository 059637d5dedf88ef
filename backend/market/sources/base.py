"""What a source of candles is, and the values that it returns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # Its import takes half a second, which the start of the web server need not spend.
    import pandas as pd

SOURCE_NAME = re.compile(r"^(csv|bybit|bybit:linear|binance|yahoo|ccxt:[a-z0-9]+)\Z")
SOURCE_NAMES = "csv, bybit, bybit:linear, binance, yahoo, or ccxt: and the name of an exchange"

# How much of a market is known when its replay or its trading begins: the longer of the two.
FIRST_CANDLES = 1000
"""The look-back of the indicators."""
FIRST_SPAN = timedelta(days=30)
"""The training data of a first model."""


class Price(NamedTuple):
    """A price at which could be traded at that time.

    `age_seconds` is its age when it is returned. Where an account sets no limit of its own, nothing is bought on market
    data older than `oldest_seconds`; None means no such limit.
    """

    time: datetime
    price: float
    age_seconds: float = 0.0
    oldest_seconds: float | None = None


class Prices(StrEnum):
    """How the prices of a source are adjusted. One series holds one kind."""

    AS_GIVEN = "as_given"
    """Unknown, as in a file."""
    AS_TRADED = "as_traded"
    SPLIT_ADJUSTED = "split_adjusted"
    """Every price before a split is divided by it. Not adjusted for dividends."""


@dataclass(frozen=True, slots=True)
class VenueTerms:
    """The trading rules that a venue states of an instrument; None where it states nothing."""

    name: str
    price_tick: Decimal | None = None
    lot_step: Decimal | None = None
    minimum_notional: Decimal | None = None

    def __post_init__(self) -> None:
        for field in ("price_tick", "lot_step"):
            step = getattr(self, field)
            if step is not None and not (step.is_finite() and step > 0):
                raise ValueError(f"{field} must be above zero, not {step}")
        minimum = self.minimum_notional
        if minimum is not None and not (minimum.is_finite() and minimum >= 0):
            raise ValueError(f"minimum_notional must not be negative, as {minimum} is")


class Source(Protocol):
    """Where candles come from. Every method raises a market.errors.SourceError when it has no answer.

    A long history is fetched page by page, each page with the budget, retries and circuit breaker of
    market.sources.resilience.
    """

    @property
    def name(self) -> str:
        """As stored with every candle: "bybit", "binance", "yahoo", "ccxt:kraken", "csv"."""

    @property
    def intervals(self) -> frozenset[str]:
        """The intervals it serves, of engine.candles.INTERVALS."""

    @property
    def prices(self) -> Prices: ...

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        """All closed candles with start <= open time < end, as a validated candle frame; empty when there are none.

        The candle that is still forming by the clock of the source is left out.
        """

    def terms(self, symbol: str) -> VenueTerms: ...

    def quote(self, symbol: str) -> Price:
        """The last price, with the time that the source states."""

    def earliest(self, interval: str, now: datetime) -> datetime | None:
        """The oldest time of which the source keeps candles of the interval, or None where it keeps them all."""


@dataclass(frozen=True, slots=True)
class FetchedCandles:
    """Candles, the source that served them, and why the sources before it did not."""

    candles: pd.DataFrame
    source: Source
    passed_over: Sequence[str] = ()
