"""Writes of instruments and candles."""

import pandas as pd
from django.utils import timezone

from database import candles as candle_table
from engine.candles import interval_length, validate
from market.calendar.sessions import times_of
from market.models import Symbol
from market.symbols import kind_of, parse_symbol

ROWS_AT_ONCE = 50_000


def add_symbol(text: str, name: str = "") -> Symbol:
    """The instrument of that name, made if it is new. Raises SymbolError."""
    symbol = parse_symbol(text)
    return Symbol.objects.get_or_create(symbol=symbol, defaults={"name": name, "kind": kind_of(symbol)})[0]


def hold(symbol: Symbol) -> None:
    """Until the caller's transaction ends, no other process stores or publishes candles of a live market."""
    Symbol.objects.select_for_update(no_key=True).get(pk=symbol.pk)


def store_candles(symbol: Symbol, interval: str, frame: pd.DataFrame, source: str) -> int:
    """Stores the closed candles of a frame and returns how many were new. Raises CandleError.

    A candle that is already stored stays as it was first seen.
    """
    interval_length(interval)
    # Without the interval: of two candles around a weekend, no distance is a multiple of it.
    frame = validate(frame)
    times, values = times_of(frame.index), frame.to_numpy()
    parts = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(times), ROWS_AT_ONCE)]
    seen = timezone.now()
    return sum(candle_table.insert(symbol.pk, interval, source, seen, times[part], values[part]) for part in parts)
