"""How far back the candles of a market go: a month or more, as far as its source has them.

The newest candles are requested first, then those before them piece by piece, from the newest back. The older ones are
optional: a source that does not have them, or is too slow, must not delay the start.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

import numpy as np
import pandas as pd
from django.db import transaction

from database import candles as candle_table
from database.candles import Array
from engine.candles import COLUMNS, interval_length
from market.calendar.sessions import MICROSECOND, Session, Times, aware, moment, session_of, times_of
from market.errors import MarketError
from market.ingestion.backfill import WAITS, Runs, missing_runs, store_gaps
from market.ingestion.rescaling import refuse_another_scale
from market.models import Candle, Symbol
from market.sources.base import FIRST_CANDLES, FIRST_SPAN, Source
from market.sources.choice import reachable

OVERLAP = 3
"""How many of the stored candles are requested again."""
PIECE_CANDLES = 5000
FIRST_SECONDS = 10.0
"""The first poll requests no further piece after this: an HTTP request ends after 30 s, a Celery task after 50."""
OLD_GAP_TRIES = len(WAITS) - 1
"""A gap in old candles is no delay, since later ones are there: it is requested once more, after the longest wait."""


@dataclass(frozen=True, slots=True)
class EarlierCandles:
    """What a source has of the time before the candles of a first poll; `problem` says why it is not all."""

    candles: pd.DataFrame
    gaps: Runs
    problem: str = ""


def first_start(session: Session, interval: str, now: datetime) -> datetime:
    """Where FIRST_CANDLES candles begin: further back where the market closes at times."""
    end, candles = moment(now), np.timedelta64(interval_length(interval)).astype("timedelta64[us]") * FIRST_CANDLES
    start = end - candles
    while len(expected := session.open_times(interval, start, end)) < FIRST_CANDLES:
        start -= candles
    return aware(expected[-FIRST_CANDLES])


def history_start(session: Session, interval: str, now: datetime) -> datetime:
    """Where the longer of FIRST_CANDLES and FIRST_SPAN begins."""
    return min(first_start(session, interval, now), now - FIRST_SPAN)


def first_history(
    symbol: Symbol, interval: str, source: Source, start: datetime, newest: pd.DataFrame, now: datetime
) -> EarlierCandles:
    """What the source has before the newest candles, which were requested from `start` on.

    It writes nothing, and no failure of the source is raised.
    """
    known, began, problem = times_of(newest.index), monotonic(), ""
    pieces: list[pd.DataFrame] = []
    try:
        for piece in _earlier(symbol, interval, source, moment(start), now, known):
            pieces.insert(0, piece)
            if monotonic() - began > FIRST_SECONDS:
                problem = f"{source.name} is slow: the rest of its history is requested before a model is trained"
                break
    except MarketError as error:
        problem = str(error)
    candles = pd.concat(pieces) if pieces else newest.iloc[:0]
    return EarlierCandles(candles, _gaps_before(symbol, interval, candles, known[:1]), problem)


def store_history(
    symbol: Symbol, interval: str, source: str, history: EarlierCandles, now: datetime
) -> tuple[int, int]:
    """Stores the candles and the gaps between them; returns how many candles are new and how many are missing."""
    times, values = times_of(history.candles.index), history.candles.to_numpy()
    new = candle_table.insert(symbol.pk, interval, source, now, times, values)
    return new, store_gaps(symbol, interval, history.gaps, now, OLD_GAP_TRIES)


def top_up(symbol: Symbol, interval: str, source: Source, now: datetime) -> int:
    """Stores what the source has before the oldest stored candle, as far back as a first poll goes; returns how many.

    Raises MarketError; the pieces that arrived before it are stored.
    """
    times, values = _oldest(symbol, interval)
    if not len(times) or not _is_short(symbol, interval, times, now):
        return 0
    stored = 0
    for piece in _earlier(symbol, interval, source, times[-1] + MICROSECOND, now, times):
        reported = times_of(piece.index)
        both = np.isin(times, reported), np.isin(reported, times)
        refuse_another_scale(source, f"{symbol} {interval}", values[both[0]], piece.to_numpy()[both[1]])
        before = piece[reported < times[0]]
        if before.empty:
            break
        history = EarlierCandles(before, _gaps_before(symbol, interval, before, times[:1]))
        with transaction.atomic():
            stored += store_history(symbol, interval, source.name, history, now)[0]
        times, values = _oldest(symbol, interval)
    return stored


def _earlier(
    symbol: Symbol, interval: str, source: Source, end: np.datetime64, now: datetime, like: Times
) -> Iterator[pd.DataFrame]:
    """What the source has before `end`, piece by piece from the newest back. An empty piece is the last: it lies
    before the listing. Raises SourceError.
    """
    session = session_of(symbol.symbol, symbol.kind)
    start = history_start(session, interval, now)
    opens = session.open_times(interval, moment(reachable(source, interval, start, now)), end, like)
    for after in range(len(opens), 0, -PIECE_CANDLES):
        until = end if after == len(opens) else opens[after]
        # By candles and not by time: a piece must not lie within a long weekend.
        first = opens[max(after - PIECE_CANDLES, 0)]
        piece = source.candles(symbol.symbol, interval, aware(first), aware(until))
        if piece.empty:
            return
        yield piece


def _is_short(symbol: Symbol, interval: str, oldest: Times, now: datetime) -> bool:
    session = session_of(symbol.symbol, symbol.kind)
    start = moment(history_start(session, interval, now))
    return bool(len(session.open_times(interval, start, session.named(interval, oldest[:1])[0], oldest)))


def _oldest(symbol: Symbol, interval: str) -> tuple[Times, Array]:
    """Open times of the oldest stored candles, and their values as rows x COLUMNS."""
    stored = Candle.objects.filter(symbol=symbol, interval=interval).order_by("open_time")
    rows = list(stored.values_list("open_time", *COLUMNS)[:OVERLAP])
    times = np.array([moment(time) for time, *_ in rows], "datetime64[us]")
    return times, np.array([values for _, *values in rows]).reshape(len(rows), len(COLUMNS))


def _gaps_before(symbol: Symbol, interval: str, candles: pd.DataFrame, oldest: Times) -> Runs:
    """The gaps from the first of these candles to the oldest known one: none before a listing."""
    if candles.empty:
        return []
    times = np.concatenate([times_of(candles.index), oldest])
    return missing_runs(session_of(symbol.symbol, symbol.kind), interval, times[:0], times)
