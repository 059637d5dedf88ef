"""Reads for the first page of a client: agents, candle chart, heatmap."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from django.db.models import DateTimeField, Exists, ExpressionWrapper, OuterRef, Subquery, Sum

from engine.candles import INTERVALS, interval_length
from market.models import Candle, Symbol
from market.selectors import latest_candles
from trading.models import Account, AgentState, AgentType, Trade
from trading.selectors.portfolio import trades_of

TIMEFRAMES = ("15m", "1h", "4h", "1d")
DAY = timedelta(days=1)
MOST_CANDLES = 20_000
MOST_TRADES = 500
PRICE_DIGITS, PERCENT_DIGITS = 10, 4  # hides the rounding error of a float difference
AGGREGATION = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


@dataclass(frozen=True, slots=True)
class HeatmapTile:
    """A followed symbol: its newest stored close and the close of a day before; None where there is none."""

    symbol: str
    price: float | None
    previous: float | None
    volume: float | None
    timestamp: datetime | None

    @property
    def change(self) -> float | None:
        if self.price is None or self.previous is None:
            return None
        return round(self.price - self.previous, PRICE_DIGITS)

    @property
    def change_percent(self) -> float | None:
        if self.price is None or self.previous is None:
            return None
        return round(100.0 * (self.price / self.previous - 1.0), PERCENT_DIGITS)


def agent_statuses(account: Account) -> dict[str, str]:
    found = dict(AgentState.objects.filter(user=account.user_id).values_list("agent_type", "status"))
    return {agent: found.get(agent, str(AgentState.Status.STOPPED)) for agent, _ in AgentType.choices}


def heatmap(account: Account) -> list[HeatmapTile]:
    """One statement for all followed symbols."""
    interval = account.settings.interval
    length = interval_length(interval)
    series = Candle.objects.filter(symbol=OuterRef("pk"), interval=interval)
    day_before = ExpressionWrapper(OuterRef("opened") - DAY, output_field=DateTimeField())
    volumes = series.filter(open_time__gt=day_before, open_time__lte=OuterRef("opened")).order_by()
    symbols = (
        Symbol.objects.filter(follows__account=account.pk)
        .annotate(opened=Subquery(series.order_by("-open_time").values("open_time")[:1]))
        .annotate(price=Subquery(series.filter(open_time=OuterRef("opened")).values("close")[:1]))
        .annotate(before=Subquery(series.filter(open_time__lte=day_before).order_by("-open_time").values("close")[:1]))
        .annotate(traded=Subquery(volumes.values("symbol").annotate(sum=Sum("volume")).values("sum")))
        .order_by("symbol")
    )
    rows = symbols.values_list("symbol", "price", "before", "traded", "opened")
    return [
        HeatmapTile(name, price, before, volume, opened and opened + length)
        for name, price, before, volume, opened in rows
    ]


def chart(symbol: Symbol, timeframe: str, count: int) -> list[dict[str, Any]]:
    """The last candles, oldest first, resampled from shorter ones where none of this length are stored.

    The last resampled candle may be incomplete.
    """
    stored = _stored_interval(symbol, timeframe)
    if stored is None:
        return []
    ratio = int(INTERVALS[timeframe] / INTERVALS[stored])
    candles = latest_candles(symbol, stored, min(count * ratio, MOST_CANDLES))
    if ratio > 1:
        candles = _resampled(candles, timeframe)
    rows: list[dict[Any, Any]] = candles.iloc[-count:].reset_index(names="timestamp").to_dict("records")
    return [{**row, "timestamp": row["timestamp"].to_pydatetime(), "price": row["close"]} for row in rows]


def newest_close(symbol: Symbol, interval: str) -> float | None:
    candles = Candle.objects.filter(symbol=symbol, interval=interval).order_by("-open_time")
    return candles.values_list("close", flat=True).first()


def trades_since(account: Account, symbol: Symbol, start: datetime) -> list[Trade]:
    """Trades of one symbol, oldest first; the newest MOST_TRADES of them."""
    trades = trades_of(account).filter(symbol=symbol, timestamp__gte=start)
    return list(trades[:MOST_TRADES])[::-1]


def _stored_interval(symbol: Symbol, timeframe: str) -> str | None:
    """The longest interval with candles of the symbol that the timeframe is a multiple of."""
    length = INTERVALS[timeframe]
    fitting = [name for name, other in INTERVALS.items() if other <= length and not length % other]
    stored = {name: Exists(Candle.objects.filter(symbol=symbol, interval=name)) for name in fitting}
    columns = {f"has_{name}": exists for name, exists in stored.items()}
    found = Symbol.objects.filter(pk=symbol.pk).annotate(**columns).values(*columns).get()
    return next((name for name in reversed(fitting) if found[f"has_{name}"]), None)


def _resampled(candles: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    bins = candles.resample(pd.Timedelta(INTERVALS[timeframe]), origin="epoch")
    resampled = bins.agg(AGGREGATION).dropna()
    # The first may lack candles that were not read.
    return resampled if len(resampled) < 2 or resampled.index[0] == candles.index[0] else resampled.iloc[1:]
