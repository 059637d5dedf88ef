"""Watched markets and the age of their newest candles."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db.models import OuterRef, Q, Subquery

from engine.candles import interval_length
from market.models import Candle, Symbol
from trading.models import RefreshRequest, TradingSettings

# A candle may come late once; three missing in a row are an outage of the source or a closed market.
LATE_CANDLES = 3
# Sources of replayed candles. All others are live, and their candles have to arrive on time.
PLAYED = frozenset({"replay", "csv"})


@dataclass(frozen=True, slots=True)
class Market:
    """A symbol at an interval."""

    symbol: Symbol
    interval: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval}"


def watched_markets() -> list[Market]:
    """The markets that running and paused accounts follow, those in which any account holds a position,
    and those that a user asked to refresh.
    """
    wanted = Q(follows__is_active=True, follows__account__settings__status__in=TradingSettings.WATCHING)
    held = Q(positions__closed_at__isnull=True, positions__isnull=False)
    followed = Symbol.objects.filter(wanted).values_list("pk", "follows__account__settings__interval")
    open_ = Symbol.objects.filter(held).values_list("pk", "positions__account__settings__interval")
    asked = RefreshRequest.objects.filter(looked_at=None).values_list("symbol_id", "interval")
    pairs = sorted(set(followed) | set(open_) | set(asked))
    symbols = Symbol.objects.in_bulk({pk for pk, _ in pairs})
    return [Market(symbols[pk], interval) for pk, interval in pairs]


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest candle of a market."""

    open_time: datetime
    close_time: datetime
    first_seen: datetime
    source: str

    @property
    def is_live(self) -> bool:
        return self.source not in PLAYED

    def age(self, now: datetime) -> timedelta:
        """Since its close; a replayed candle is as old as its arrival."""
        return now - (self.close_time if self.is_live else self.first_seen)


def newest_candles(markets: Iterable[Market]) -> Mapping[Market, Newest]:
    """Two queries for each interval, however many markets there are."""
    by_interval: dict[str, dict[int, Market]] = defaultdict(dict)
    for market in markets:
        by_interval[market.interval][market.symbol.pk] = market
    known = {}
    for interval, of_interval in by_interval.items():
        newest = Candle.objects.filter(symbol=OuterRef("pk"), interval=interval).order_by("-open_time").values("pk")[:1]
        keys = Symbol.objects.filter(pk__in=of_interval).annotate(newest=Subquery(newest)).values_list("newest")
        for candle in Candle.objects.filter(pk__in=[key for (key,) in keys if key is not None]):
            closed = candle.open_time + interval_length(interval)
            newest_of = Newest(candle.open_time, closed, candle.first_seen, candle.source)
            known[of_interval[candle.symbol_id]] = newest_of
    return known


def is_late(market: Market, newest: Newest, now: datetime) -> bool:
    """Whether three candles or more should have come since. A market that is closed is not late."""
    since = now - LATE_CANDLES * interval_length(market.interval)
    if not newest.is_live:
        return newest.first_seen < since
    from market.calendar.sessions import moment, session_of  # calendars of exchanges, which a replay does not need

    session, known = session_of(market.symbol.symbol, market.symbol.kind), np.array([moment(newest.open_time)])
    due = session.newest_closed(market.interval, since, like=known)
    return due is not None and bool(due > session.named(market.interval, known)[0])
