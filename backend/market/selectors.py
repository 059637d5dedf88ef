"""Reads of candles, in the engine's form."""

from datetime import datetime

import numpy as np
import pandas as pd

from database import candles as candle_table
from database.candles import Array
from engine.candles import COLUMNS
from market.calendar.sessions import MICROSECOND, Times, moment, session_of
from market.models import OrderBookDepth, Symbol

SECOND = np.timedelta64(1, "s")
# How many candles show how a series is stamped.
LIKE = 3


def candle_frame(
    symbol: Symbol, interval: str, start: datetime | None = None, end: datetime | None = None
) -> pd.DataFrame:
    """The candles with start <= open time < end, oldest first; an empty frame when there are none."""
    return frame_of(*candle_table.read(symbol.pk, interval, start, end))


def latest_candles(symbol: Symbol, interval: str, count: int, end: datetime | None = None) -> pd.DataFrame:
    """The last `count` candles that opened before `end`, oldest first."""
    return frame_of(*candle_table.read(symbol.pk, interval, end=end, newest=count))


def frame_of(times: Times, values: Array) -> pd.DataFrame:
    """The candle frame of ascending times and of values as COLUMNS x rows."""
    index = pd.DatetimeIndex(times, tz="UTC", name="open_time")
    return pd.DataFrame(values.T, index=index, columns=list(COLUMNS), copy=False)


def staleness(symbol: Symbol, interval: str, now: datetime) -> float | None:
    """Seconds since the candle after the newest stored one was due: 0 where none is late, None where none is stored.

    A night or a holiday delays nothing.
    """
    times, _ = candle_table.read(symbol.pk, interval, newest=LIKE)
    if not len(times):
        return None
    session = session_of(symbol.symbol, symbol.kind)
    newest = session.named(interval, times[-1:])[0]
    due = session.open_times(interval, newest + MICROSECOND, moment(now), like=times)
    closes = session.close_times(interval, due[:1])
    return float(max((moment(now) - closes[0]) / SECOND, 0.0)) if len(due) else 0.0


def newest_depth(symbol: Symbol, before: datetime) -> OrderBookDepth | None:
    """The newest stored order book at that time."""
    return OrderBookDepth.objects.filter(symbol=symbol, time__lte=before).order_by("-time").first()
