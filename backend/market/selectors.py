"""Reads of candles, in the engine's form."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from django.db.models import QuerySet

from engine.candles import COLUMNS
from market.models import Candle, Symbol


def candle_frame(
    symbol: Symbol, interval: str, start: datetime | None = None, end: datetime | None = None
) -> pd.DataFrame:
    """The candles with start <= open time < end, oldest first; an empty frame when there are none."""
    candles = _series(symbol, interval, end)
    if start is not None:
        candles = candles.filter(open_time__gte=start)
    return _frame(_rows(candles.order_by("open_time")))


def latest_candles(symbol: Symbol, interval: str, count: int, end: datetime | None = None) -> pd.DataFrame:
    """The last `count` candles that opened before `end`, oldest first."""
    newest_first = _series(symbol, interval, end).order_by("-open_time")
    return _frame(_rows(newest_first[:count])[::-1])


def _series(symbol: Symbol, interval: str, end: datetime | None) -> "QuerySet[Candle]":
    candles = Candle.objects.filter(symbol=symbol, interval=interval)
    return candles if end is None else candles.filter(open_time__lt=end)


def _rows(candles: "QuerySet[Candle]") -> list[tuple[Any, ...]]:
    return list(candles.values_list("open_time", *COLUMNS))


def _frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    times, *columns = zip(*rows, strict=True) if rows else [()] * (1 + len(COLUMNS))
    index = pd.DatetimeIndex(times, dtype="datetime64[us, UTC]", name="open_time")
    values = {name: np.array(column, np.float64) for name, column in zip(COLUMNS, columns, strict=True)}
    return pd.DataFrame(values, index=index)
