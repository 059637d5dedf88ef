"""Gaps: candles that were to be expected and are not stored. They are kept as rows, asked for again, and shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from django.db import transaction

from database import candles as candle_table
from engine.candles import interval_length
from market.errors import MarketError
from market.models import CandleGap, Symbol
from market.services import hold
from market.sessions import Session, Times, moment, session_of, times_of
from market.sources.base import Answer

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
"""Before each try. After the last one the gap is taken for an outage of the market itself, and stays as a row."""
GAPS_AT_ONCE = 10
INSTANT = np.timedelta64(1, "us")


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


def keep_gaps(symbol: Symbol, interval: str, runs: Runs, now: datetime) -> int:
    """Stores a row for each gap that is not stored yet; how many candles are missing in all of them."""
    gap = CandleGap(symbol=symbol, interval=interval, found_at=now, next_try=now + WAITS[0])
    return _store(gap, runs)


def keep_old_gaps(symbol: Symbol, interval: str, runs: Runs, now: datetime) -> int:
    """The same, of candles from long ago: who tells of the days before and after is not late with what lies between,
    and is asked once more.
    """
    tries = len(WAITS) - 1
    return _store(
        CandleGap(symbol=symbol, interval=interval, found_at=now, tries=tries, next_try=now + WAITS[tries]), runs
    )


def fill_gaps(symbol: Symbol, interval: str, fetch: Callable[..., Answer], now: datetime) -> Filled:
    """Asks again for gaps whose time has come. A source that fails is named in the result, and costs no try."""
    due = CandleGap.objects.filter(symbol=symbol, interval=interval, next_try__lte=now).order_by("next_try")
    found, missing, problems = 0, 0, []
    for gap in due[:GAPS_AT_ONCE]:
        try:
            answer = fetch(symbol.symbol, interval, gap.first_missing, gap.last_missing + interval_length(interval))
        except MarketError as error:
            problems.append(str(error))
            CandleGap.objects.filter(pk=gap.pk).update(next_try=now + WAITS[0])
            continue
        filled = _fill(gap, answer, now)
        found, missing = found + filled.found, missing + filled.missing
    return Filled(found, missing, tuple(problems))


@transaction.atomic
def _fill(gap: CandleGap, answer: Answer, now: datetime) -> Filled:
    """Stores what was found, and in the place of the gap what is left of it."""
    symbol, interval, frame = gap.symbol, gap.interval, answer.candles
    hold(symbol)
    found = candle_table.insert(symbol.pk, interval, answer.source.name, now, times_of(frame.index), frame.to_numpy())
    first, last = moment(gap.first_missing), moment(gap.last_missing)
    after = _aware(last + INSTANT)
    stored, _ = candle_table.read(symbol.pk, interval, gap.first_missing, after)
    session = session_of(symbol.symbol, symbol.kind)
    runs = _runs(session, interval, stored, first, last + INSTANT, like=np.array([first, last]))
    gap.delete()
    gap.tries += 1
    gap.next_try = now + WAITS[gap.tries] if gap.tries < len(WAITS) else None
    return Filled(found, _store(gap, runs))


def _runs(
    session: Session, interval: str, stored: Times, start: np.datetime64, end: np.datetime64, like: Times | None = None
) -> Runs:
    missing = session.missing(interval, stored, start, end, like)
    if not len(missing):
        return []
    # A run ends where a stored candle comes between, but not at a night.
    before = np.searchsorted(session.named(interval, stored), missing)
    return np.split(missing, np.flatnonzero(np.diff(before)) + 1)


def _store(like: CandleGap, runs: Runs) -> int:
    rows = [
        CandleGap(
            symbol=like.symbol,
            interval=like.interval,
            first_missing=_aware(run[0]),
            last_missing=_aware(run[-1]),
            missing=len(run),
            found_at=like.found_at,
            tries=like.tries,
            next_try=like.next_try,
        )
        for run in runs
    ]
    CandleGap.objects.bulk_create(rows, ignore_conflicts=True)
    return sum(map(len, runs))


def _aware(time: np.datetime64) -> datetime:
    known: datetime = time.astype("datetime64[us]").item()
    return known.replace(tzinfo=UTC)
