"""What a source of candles is, and the values that it answers with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # Half a second that the start of the site need not spend.
    import pandas as pd

SOURCE_NAME = re.compile(r"^(csv|bybit|bybit:linear|binance|yahoo|ccxt:[a-z0-9]+)\Z")
SOURCE_NAMES = "csv, bybit, bybit:linear, binance, yahoo, or ccxt: and the name of an exchange"

# As much of a market as is known when its play or its trading begins: the longer of the two.
FIRST_CANDLES = 1000
"""As many as the indicators look back."""
FIRST_SPAN = timedelta(days=30)
"""What a first model learns from."""


class Price(NamedTuple):
    """A price that could be had at that time.

    `age_seconds` have passed since, when it is handed out. Where an account sets no limit of its own, nothing is bought
    on market data that are older than `oldest_seconds`; None means no such limit.
    """

    time: datetime
    price: float
    age_seconds: float = 0.0
    oldest_seconds: float | None = None


class Prices(StrEnum):
    """What the prices of a source are. One series holds one kind."""

    AS_GIVEN = "as_given"
    """A file's own, of which nobody knows."""
    AS_TRADED = "as_traded"
    SPLIT_ADJUSTED = "split_adjusted"
    """Every price before a split is divided by it, and will be again at the next one. Dividends are left in."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the venue says of an instrument; None where it says nothing."""

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
    """A place that candles come from. Every method raises a market.errors.SourceError when it cannot answer.

    A long history is fetched page by page. Each request passes through a guard: patience, budget and circuit breaker
    belong to market.sources.resilience.
    """

    @property
    def name(self) -> str:
        """As it is written into every candle: "bybit", "binance", "yahoo", "ccxt:kraken", "csv"."""

    @property
    def intervals(self) -> frozenset[str]:
        """The intervals it serves itself, of engine.candles.INTERVALS."""

    @property
    def prices(self) -> Prices: ...

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        """All closed candles with start <= open time < end, as a validated candle frame; empty when there are none.

        The candle that is still forming is left out, by the clock of the source.
        """

    def terms(self, symbol: str) -> Terms: ...

    def quote(self, symbol: str) -> Price:
        """The last price, and the time at which the source says that it was one."""

    def earliest(self, interval: str, now: datetime) -> datetime | None:
        """The first moment of which the source keeps candles of the interval, or None where it keeps them all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Candles, the source that served them, and why the ones before it did not."""

    candles: pd.DataFrame
    source: Source
    passed_over: Sequence[str] = ()
