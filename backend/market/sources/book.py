"""The first levels of an order book: best prices and quantities."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Protocol, runtime_checkable

from market.errors import InvalidResponse

Level = tuple[Decimal, Decimal]
"""Price and quantity."""


@dataclass(frozen=True, slots=True)
class Depth:
    """An order book at one time; the quantities are sums over the first `levels` of each side."""

    time: datetime
    best_bid: Decimal
    best_ask: Decimal
    levels: int
    bid_quantity: Decimal
    ask_quantity: Decimal


@runtime_checkable
class BookSource(Protocol):
    """A source that also serves its order book."""

    @property
    def name(self) -> str: ...

    def depth(self, symbol: str, levels: int) -> Depth:
        """Raises SourceError."""


def depth_of(source: str, time: datetime, bids: Sequence[Level], asks: Sequence[Level], levels: int) -> Depth:
    """Raises InvalidResponse for an order book that is empty, crossed or out of order."""
    bids, asks = bids[:levels], asks[:levels]
    if not bids or not asks:
        raise InvalidResponse(source, "its order book has an empty side")
    if not all(number.is_finite() and number > 0 for level in (*bids, *asks) for number in level):
        raise InvalidResponse(source, "its order book has a price or quantity that is not above zero")
    falling = all(better[0] > worse[0] for better, worse in pairwise(bids))
    rising = all(better[0] < worse[0] for better, worse in pairwise(asks))
    if not (falling and rising):
        raise InvalidResponse(source, "the prices of its order book are out of order")
    if bids[0][0] >= asks[0][0]:
        raise InvalidResponse(source, f"its order book is crossed: {bids[0][0]} is bid and {asks[0][0]} asked")
    quantities = [sum((level[1] for level in side), Decimal(0)) for side in (bids, asks)]
    return Depth(time, bids[0][0], asks[0][0], min(len(bids), len(asks)), *quantities)
