"""Writes of instruments and candles."""

import pandas as pd

from engine.candles import COLUMNS, interval_length, validate
from market.models import Candle, Symbol
from market.symbols import kind_of, parse_symbol

ROWS_AT_ONCE = 5000


def add_symbol(text: str, name: str = "") -> Symbol:
    """The instrument of that name, made if it is new. Raises SymbolError."""
    symbol = parse_symbol(text)
    return Symbol.objects.get_or_create(symbol=symbol, defaults={"name": name, "kind": kind_of(symbol)})[0]


def store_candles(symbol: Symbol, interval: str, frame: pd.DataFrame, source: str) -> int:
    """Store the closed candles of a frame and return how many were new. Raises CandleError.

    A candle that is stored already stays as it was first seen, whatever the frame says now.
    """
    interval_length(interval)
    # Without the interval: in the two candles around a weekend no distance agrees with it.
    frame = validate(frame)
    parts = [frame.iloc[start : start + ROWS_AT_ONCE] for start in range(0, len(frame), ROWS_AT_ONCE)]
    return sum(_store(symbol, interval, part, source) for part in parts)


def _store(symbol: Symbol, interval: str, frame: pd.DataFrame, source: str) -> int:
    known = Candle.objects.filter(symbol=symbol, interval=interval, open_time__range=(frame.index[0], frame.index[-1]))
    new = frame[~frame.index.isin(list(known.values_list("open_time", flat=True)))]
    times = pd.DatetimeIndex(new.index).to_pydatetime()
    columns = (new[name].tolist() for name in COLUMNS)
    candles = [
        Candle(
            symbol=symbol, interval=interval, source=source, open_time=time, **dict(zip(COLUMNS, values, strict=True))
        )
        for time, *values in zip(times, *columns, strict=True)
    ]
    # Another process may store the same candles between the two queries: its row stays.
    Candle.objects.bulk_create(candles, ignore_conflicts=True)
    return len(candles)
