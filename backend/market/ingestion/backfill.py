"""Gaps: expected candles that are not stored. They are kept as rows, requested again, and shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db import transaction

from database import candles as candle_table
from engine.candles import interval_length
from market.calendar.sessions import MICROSECOND, Session, Times, aware, moment, session_of, times_of
from market.errors import MarketError
from market.models import CandleGap, Symbol
from market.services import hold
from market.sources.base import FetchedCandles

Runs = Sequence[Times]
"""Missing open times, a run for each gap."""

WAITS = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
    timedelta(days=7),
)
"""Before each try. After the last one the gap counts as an outage of the market itself, and stays as a row."""
GAPS_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Filled:
    """How many candles were found, how many are still missing in the gaps that were tried, and what went wrong."""

    found: int = 0
    missing: int = 0
    problems: tuple[str, ...] = ()


def missing_runs(session: Session, interval: str, known: Times, new: Times) -> Runs:
    """The gaps between the last known candle and the last new one, or within the new ones where none is known."""
    times = np.union1d(known, new)
    if not len(new):
        return []
    return _runs(session, interval, times, (known if len(known) else times)[-1 if len(known) else 0], times[-1])


def store_gaps(
    symbol: Symbol, interval: str, runs: Runs, now: datetime, tries: int = 0, found_at: datetime | None = None
) -> int:
    """Stores a row for each gap that is not stored yet; returns how many candles are missing in all of them.

    `tries` is how many requests for them count as made.
    """
    rows = [
        CandleGap(
            symbol=symbol,
            interval=interval,
            first_missing=aware(run[0]),
            last_missing=aware(run[-1]),
            missing=len(run),
            found_at=found_at or now,
            tries=tries,
            next_try=now + WAITS[tries] if tries < len(WAITS) else None,
        )
        for run in runs
    ]
    CandleGap.objects.bulk_create(rows, ignore_conflicts=True)
    return sum(map(len, runs))


def fill_gaps(symbol: Symbol, interval: str, fetch: Callable[..., FetchedCandles], now: datetime) -> Filled:
    """Requests the gaps that are due. A source that fails is named in the result, and counts as no try."""
    due = CandleGap.objects.filter(symbol=symbol, interval=interval, next_try__lte=now).order_by("next_try")
    found, missing, problems = 0, 0, []
    for gap in due[:GAPS_AT_ONCE]:
        try:
            fetched = fetch(symbol.symbol, interval, gap.first_missing, gap.last_missing + interval_length(interval))
        except MarketError as error:
            problems.append(str(error))
            CandleGap.objects.filter(pk=gap.pk).update(next_try=now + WAITS[0])
            continue
        filled = _fill(gap, fetched, now)
        found, missing = found + filled.found, missing + filled.missing
    return Filled(found, missing, tuple(problems))


@transaction.atomic
def _fill(gap: CandleGap, fetched: FetchedCandles, now: datetime) -> Filled:
    """Stores what was found, and replaces the gap by what is left of it."""
    symbol, interval, frame = gap.symbol, gap.interval, fetched.candles
    hold(symbol)
    found = candle_table.insert(symbol.pk, interval, fetched.source.name, now, times_of(frame.index), frame.to_numpy())
    first, last = moment(gap.first_missing), moment(gap.last_missing)
    stored, _ = candle_table.read(symbol.pk, interval, gap.first_missing, aware(last + MICROSECOND))
    session = session_of(symbol.symbol, symbol.kind)
    runs = _runs(session, interval, stored, first, last + MICROSECOND, like=np.array([first, last]))
    gap.delete()
    return Filled(found, store_gaps(symbol, interval, runs, now, gap.tries + 1, gap.found_at))


def _runs(
    session: Session, interval: str, stored: Times, start: np.datetime64, end: np.datetime64, like: Times | None = None
) -> Runs:
    missing = session.missing(interval, stored, start, end, like)
    if not len(missing):
        return []
    # A run ends where a stored candle comes between, but not at a night.
    before = np.searchsorted(session.named(interval, stored), missing)
    return np.split(missing, np.flatnonzero(np.diff(before)) + 1)
