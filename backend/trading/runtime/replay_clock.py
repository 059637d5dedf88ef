"""Replays several files by one clock.

The files that one account trades begin at the same time, and none runs ahead of another. Files that no account trades
together are independent of each other.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Max
from django.utils import timezone

from market.models import Candle
from market.selectors import latest_candles
from trading.models import Follow, TradingSettings
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import Market


def due(markets: Sequence[Market], pipeline: Pipeline) -> list[Market]:
    """The markets whose next candle is not later than the next candle of any market traded beside them.

    A market is left out for `replay_seconds` after its last candle: the longest setting of the accounts that follow it.
    """
    upcoming = {market: time for market in markets if (time := _next_time(market, pipeline)) is not None}
    beside, pauses, now = _traded_beside(markets), _pauses(), timezone.now()
    return [
        market
        for market, time in upcoming.items()
        if not _is_paused(market, pauses, now)
        and all(time <= upcoming[other] for other in beside[market] if other in upcoming)
    ]


def ended(markets: Sequence[Market], pipeline: Pipeline) -> list[Market]:
    """The markets whose files have been replayed to the end."""
    return [market for market in markets if _next_time(market, pipeline) is None]


def prepare(market: Market, markets: Sequence[Market], pipeline: Pipeline) -> None:
    """Stores the history of a market before its replay begins, if that has not been done."""
    source = pipeline.replay(market)
    if latest_candles(market.symbol, market.interval, 1).empty:
        source = source.beginning_at(common_start(market, markets, pipeline))
    pipeline.monitor.prepare(market.symbol, market.interval, source)


def common_start(market: Market, markets: Sequence[Market], pipeline: Pipeline) -> datetime:
    """When the replay begins: at the time of the markets traded with it, or when the last of them can begin."""
    beside = _traded_beside(markets)[market]
    starts = [_position(other, pipeline) for other in beside if other != market]
    return max([pipeline.replay(market).usual_start, *starts])


def _next_time(market: Market, pipeline: Pipeline) -> datetime | None:
    """The open time of the next candle; None at the end of the file."""
    known = latest_candles(market.symbol, market.interval, 1)
    source = pipeline.replay(market)
    if known.empty:
        return source.usual_start
    fresh = source.closed_after(known.index[-1].to_pydatetime())
    return None if fresh.empty else fresh.index[0].to_pydatetime()


def _pauses() -> dict[tuple[int, str], float]:
    """The longest pause after a candle in seconds, by symbol and interval."""
    follows = Follow.objects.filter(is_active=True, account__settings__status__in=TradingSettings.WATCHING)
    slow = follows.filter(account__settings__replay_seconds__gt=0)
    rows = slow.values_list("symbol", "account__settings__interval").annotate(Max("account__settings__replay_seconds"))
    return {(symbol, interval): seconds for symbol, interval, seconds in rows}


def _is_paused(market: Market, pauses: Mapping[tuple[int, str], float], now: datetime) -> bool:
    if (pause := pauses.get((market.symbol.pk, market.interval))) is None:
        return False
    candles = Candle.objects.filter(symbol=market.symbol, interval=market.interval).order_by("-open_time")
    last = candles.values_list("first_seen", flat=True).first()
    return last is not None and now - last < timedelta(seconds=pause)


def _position(market: Market, pipeline: Pipeline) -> datetime:
    return _next_time(market, pipeline) or pipeline.replay(market).usual_start


def _traded_beside(markets: Sequence[Market]) -> Mapping[Market, set[Market]]:
    """For each market those that a running account trades together with it, itself included."""
    known = {(market.symbol.pk, market.interval): market for market in markets}
    by_account: dict[int, set[Market]] = defaultdict(set)
    follows = Follow.objects.filter(is_active=True, account__settings__status__in=TradingSettings.WATCHING)
    for account, symbol, interval in follows.values_list("account_id", "symbol_id", "account__settings__interval"):
        if (symbol, interval) in known:
            by_account[account].add(known[symbol, interval])
    beside: dict[Market, set[Market]] = defaultdict(set)
    for group in by_account.values():
        for market in group:
            beside[market] |= group
    return beside
