"""Stored candles as rows of market data, and as charts."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from django.db.models import FloatField, Max, OuterRef, QuerySet, Subquery

from engine.analysis import ANALYSIS
from engine.candles import COLUMNS, interval_length
from engine.indicators import INDICATORS, WINDOW
from engine.snapshot import RSI_STATES, TRENDS, market_frame
from market.models import Candle, Symbol
from market.selectors import latest_candles
from trading.models import Account, Message
from trading.selectors.symbols import followed_symbols

# Names of the engine's numbers; a NaN has none.
NAMES: dict[str, Mapping[float, str]] = {"trend": TRENDS, "rsi_state": RSI_STATES}


def market_rows(account: Account) -> "QuerySet[Candle]":
    """Candles of the followed symbols, of all intervals, newest first."""
    symbols = list(followed_symbols(account).values_list("pk", flat=True))
    return Candle.objects.filter(symbol__in=symbols).select_related("symbol").order_by("-open_time", "symbol")


def previous_closes(candles: "QuerySet[Candle]") -> dict[int, float | None]:
    """The close of the preceding candle, by the id of each candle; None for the first of a series.

    A separate statement for the rows of one page: inside the page's query it would also run for the skipped rows.
    """
    before = Candle.objects.filter(
        symbol=OuterRef("symbol"), interval=OuterRef("interval"), open_time__lt=OuterRef("open_time")
    )
    close = Subquery(before.order_by("-open_time").values("close")[:1], output_field=FloatField())
    return dict(candles.order_by().annotate(previous_close=close).values_list("pk", "previous_close"))


def newest_time(candles: "QuerySet[Candle]") -> datetime | None:
    newest: datetime | None = candles.order_by().aggregate(newest=Max("open_time"))["newest"]
    return newest


def latest_rows(account: Account, interval: str) -> "tuple[QuerySet[Candle], list[str]]":
    """The newest candle of each followed symbol, and a message for each symbol without one."""
    newest = Candle.objects.filter(symbol=OuterRef("pk"), interval=interval).order_by("-open_time").values("pk")[:1]
    symbols = followed_symbols(account).annotate(newest=Subquery(newest)).values_list("symbol", "newest")
    known = {name: pk for name, pk in symbols if pk is not None}
    rows = Candle.objects.filter(pk__in=known.values()).select_related("symbol").order_by("symbol__symbol")
    missing = [f"{name}: no candles at {interval} are stored yet" for name, _ in symbols if name not in known]
    return rows, missing


def latest_snapshot(symbol: Symbol, interval: str) -> Message | None:
    snapshots = Message.objects.filter(symbol=symbol, type=Message.Type.MARKET_SNAPSHOT, interval=interval)
    return snapshots.order_by("-pk").first()


def chart(
    symbol: Symbol, interval: str, limit: int, start: datetime | None, end: datetime | None, indicators: bool
) -> list[dict[str, Any]]:
    """The last `limit` candles that opened from `start` to `end`, oldest first."""
    # Indicators need the window of candles before the first, as the agents have it.
    count = limit + WINDOW if indicators else limit
    before = None if end is None else end + timedelta(microseconds=1)
    candles = latest_candles(symbol, interval, count, before)
    frame = market_frame(candles) if indicators and len(candles) else candles
    frame = frame.iloc[-limit:] if start is None else frame[frame.index >= pd.Timestamp(start)].iloc[-limit:]
    return [_point(row, indicators) for row in frame.reset_index(names="timestamp").to_dict("records")]


def _point(row: Mapping[Any, Any], indicators: bool) -> dict[str, Any]:
    point = {"timestamp": row["timestamp"].to_pydatetime(), **{name: row[name] for name in COLUMNS}}
    if indicators:
        point["indicators"] = {name: row[name] for name in INDICATORS}
        point["analysis"] = {name: _name(name, row[name]) for name in ANALYSIS}
    return point


def _name(name: str, value: float) -> str | float | None:
    return NAMES[name].get(value) if name in NAMES else value


def closing_time(candle: Any) -> datetime:
    closed: datetime = candle.open_time + interval_length(candle.interval)
    return closed
