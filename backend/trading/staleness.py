"""Markets that have fallen silent."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from engine.candles import interval_length
from market.models import Candle
from trading import journal
from trading.pipeline import Market

# A candle may come late once; three missing in a row are an outage of the source or a closed market.
LATE_CANDLES = 3


class StaleMarket(Exception):
    """No candle has come for a long time."""


def tell_stale_markets(markets: Iterable[Market], now: datetime) -> list[Market]:
    """Shows on the Market Monitor of their followers which markets have had no new candle for three intervals."""
    stale = []
    for market in markets:
        last = _last_arrival(market)
        if last is not None and now - last > LATE_CANDLES * _length(market):
            error = StaleMarket(f"no new candle since {last:%Y-%m-%d %H:%M} UTC")
            journal.not_observed(market.symbol, market.interval, error)
            stale.append(market)
    return stale


def _last_arrival(market: Market) -> datetime | None:
    candles = Candle.objects.filter(symbol=market.symbol, interval=market.interval)
    return candles.order_by("-open_time").values_list("first_seen", flat=True).first()


def _length(market: Market) -> timedelta:
    length: timedelta = interval_length(market.interval)
    return length
