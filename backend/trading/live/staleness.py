"""How old the market data are, and markets that have fallen silent."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db.models import OuterRef, Subquery

from engine.candles import interval_length
from market.models import Candle, Symbol
from trading.agents import journal
from trading.live.watched import Market

# A candle may come late once; three missing in a row are an outage of the source or a closed market.
LATE_CANDLES = 3
# Where candles of the past come from. All others are of now, and have to come on time.
PLAYED = frozenset({"replay", "csv"})


class StaleMarket(Exception):
    """No candle has come for a long time."""


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
        """Since its close; a candle that is played is as old as its arrival."""
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
    since = now - LATE_CANDLES * _length(market)
    if not newest.is_live:
        return newest.first_seen < since
    from market.calendar.sessions import moment, session_of  # calendars of exchanges, which a replay does not need

    session, known = session_of(market.symbol.symbol, market.symbol.kind), np.array([moment(newest.open_time)])
    due = session.newest_closed(market.interval, since, like=known)
    return due is not None and bool(due > session.named(market.interval, known)[0])


def tell_stale_markets(markets: Iterable[Market], now: datetime) -> list[Market]:
    """Shows on the Market Monitor of their followers which markets have had no new candle for three intervals."""
    stale = [(market, newest) for market, newest in newest_candles(markets).items() if is_late(market, newest, now)]
    for market, newest in stale:
        last = newest.close_time if newest.is_live else newest.first_seen
        error = StaleMarket(f"no new candle since {last:%Y-%m-%d %H:%M} UTC")
        journal.not_observed(market.symbol, market.interval, error)
    return [market for market, _ in stale]


def _length(market: Market) -> timedelta:
    length: timedelta = interval_length(market.interval)
    return length
