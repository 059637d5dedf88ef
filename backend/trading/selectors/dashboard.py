"""What the first page of a client shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, QuerySet, Subquery, Sum

from engine.candles import INTERVALS, interval_length
from market.models import Candle, Symbol
from market.selectors import latest_candles
from trading.models import Account, AgentState, AgentType, Trade
from trading.selectors.trades import trades_of

TIMEFRAMES = ("15m", "1h", "4h", "1d")
DAY = timedelta(days=1)
MOST_CANDLES = 20_000
MOST_TRADES = 500
PRICE_DIGITS, PERCENT_DIGITS = 10, 4  # hides what binary fractions add to a difference
MERGED = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


@dataclass(frozen=True, slots=True)
class Tile:
    """A followed symbol at its newest stored candle against the price of a day before; None where it is not known."""

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


def heatmap(account: Account) -> list[Tile]:
    """One statement, whatever the account follows; each symbol is compared with itself a day before."""
    interval = account.settings.interval
    length = interval_length(interval)
    series = Candle.objects.filter(symbol=OuterRef("pk"), interval=interval)
    day_before = ExpressionWrapper(OuterRef("opened") - DAY, output_field=DateTimeField())
    volumes = series.filter(open_time__gt=day_before, open_time__lte=OuterRef("opened")).order_by()
    symbols = (
        Symbol.objects.filter(follows__account=account.pk)
        .annotate(opened=Subquery(series.order_by("-open_time").values("open_time")[:1]))
        .annotate(price=Subquery(series.filter(open_time=OuterRef("opened")).values("close")[:1]))
        .annotate(before=Subquery(_newest(series.filter(open_time__lte=day_before)).values("close")[:1]))
        .annotate(traded=Subquery(volumes.values("symbol").annotate(sum=Sum("volume")).values("sum")))
        .order_by("symbol")
    )
    rows = symbols.values_list("symbol", "price", "before", "traded", "opened")
    return [
        Tile(name, price, before, volume, opened and opened + length) for name, price, before, volume, opened in rows
    ]


def chart(symbol: Symbol, timeframe: str, count: int) -> list[dict[str, Any]]:
    """The last candles, oldest first, put together from shorter ones where none of this length are stored.

    The last of those may be still open: it holds what is known so far.
    """
    stored = _stored_interval(symbol, timeframe)
    if stored is None:
        return []
    ratio = int(INTERVALS[timeframe] / INTERVALS[stored])
    candles = latest_candles(symbol, stored, min(count * ratio, MOST_CANDLES))
    if ratio > 1:
        candles = _merged(candles, timeframe)
    rows: list[dict[Any, Any]] = candles.iloc[-count:].reset_index(names="timestamp").to_dict("records")
    return [{**row, "timestamp": row["timestamp"].to_pydatetime(), "price": row["close"]} for row in rows]


def newest_close(symbol: Symbol, interval: str) -> float | None:
    candles = Candle.objects.filter(symbol=symbol, interval=interval).order_by("-open_time")
    return candles.values_list("close", flat=True).first()


def trades_since(account: Account, symbol: Symbol, start: datetime) -> "Sequence[Trade]":
    """Of one symbol, oldest first; the newest where there are too many."""
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


def _merged(candles: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    bins = candles.resample(pd.Timedelta(INTERVALS[timeframe]), origin="epoch")
    merged = bins.agg(MERGED).dropna()
    # The first may have begun before what was read.
    return merged if len(merged) < 2 or merged.index[0] == candles.index[0] else merged.iloc[1:]


def _newest(candles: "QuerySet[Candle]") -> "QuerySet[Candle]":
    return candles.order_by(F("open_time").desc())
