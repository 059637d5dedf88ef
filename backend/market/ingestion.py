"""From a source into the candle table: closed candles only, nothing twice, nothing rewritten.

`look` asks the source and writes nothing; `keep` writes all that it found in one transaction, and may be part of a
larger one. The first look goes back a month or more (market.history). Later the last stored candles are asked for
again each time: a source that has changed its mind about one of them is seen, the stored candle stays, and the other
version becomes a CandleRevision.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from django.db import transaction

from database import candles as candle_table
from database.candles import Array
from engine.candles import COLUMNS
from market.backfill import Runs, keep_gaps, missing_runs
from market.history import OVERLAP, History, first_history, first_start, keep_history
from market.models import Candle, CandleRevision, Symbol
from market.rescaling import refuse_another_scale
from market.selectors import frame_of
from market.services import hold
from market.sessions import Session, Times, moment, session_of, times_of
from market.sources.base import Answer

Fetch = Callable[[str, str, datetime, datetime], Answer]
"""Symbol, interval, start and end to candles and the source that served them (market.sources.choice).

Raises MarketError.
"""


@dataclass(frozen=True, slots=True)
class Look:
    """What a source has told and what of it is new; nothing of it is stored yet."""

    symbol: Symbol
    interval: str
    now: datetime
    source: str | None
    """None where nobody was asked, because nothing can have closed since."""
    new: pd.DataFrame
    """Closed candles that are not stored, in order."""
    changed: pd.DataFrame
    """Those that are stored with other values."""
    gaps: Runs
    passed_over: Sequence[str] = ()
    history: History | None = None
    """What was told of the time before `new`, at the first look."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What came of it."""

    source: str | None
    new: int
    revised: int
    gaps: int
    passed_over: Sequence[str] = ()
    problem: str = ""
    """Why the history is shorter than was asked for; a source that has no more is no problem."""


def ingest(symbol: Symbol, interval: str, fetch: Fetch, now: datetime, again: int = 0) -> Ingested:
    """Takes what has closed since the last time. Raises MarketError or CandleError, and has then stored nothing.

    `again` has so many of the stored candles asked for, whether anything has closed since or not.
    """
    return keep(look(symbol, interval, fetch, now, again))


def look(symbol: Symbol, interval: str, fetch: Fetch, now: datetime, again: int = 0) -> Look:
    """What has closed since the last time, by the source's clock and `now`. Raises MarketError or CandleError."""
    session = session_of(symbol.symbol, symbol.kind)
    times, values = candle_table.read(symbol.pk, interval, newest=again or OVERLAP)
    if len(times) and not again and not _anything_new(session, interval, times, now):
        nothing = frame_of(times[:0], values[:, :0])
        return Look(symbol, interval, now, None, nothing, nothing, [])
    start = _aware(times[0]) if len(times) else first_start(session, interval, now)
    answer = fetch(symbol.symbol, interval, start, now)
    frame = _closed(session, interval, answer.candles, now)
    found = _compared(symbol, interval, now, answer, frame, (times, values), session)
    if len(times) or found.new.empty:
        return found
    return replace(found, history=first_history(symbol, interval, answer.source, start, found.new, now))


@transaction.atomic
def keep(found: Look) -> Ingested:
    """Stores new candles, revisions and gaps. Another process that was faster with one of them is no error."""
    if found.source is None:
        return Ingested(None, 0, 0, 0)
    symbol, interval = found.symbol, found.interval
    hold(symbol)
    times, values = times_of(found.new.index), found.new.to_numpy()
    new = candle_table.insert(symbol.pk, interval, found.source, found.now, times, values)
    revised = 0 if found.changed.empty else _keep_revisions(symbol, interval, found.changed, found.source, found.now)
    gaps = keep_gaps(symbol, interval, found.gaps, found.now) if found.gaps else 0
    if found.history is None:
        return Ingested(found.source, new, revised, gaps, found.passed_over)
    before, missing = keep_history(symbol, interval, found.source, found.history, found.now)
    return Ingested(
        found.source, before + new, revised, missing + gaps, found.passed_over, problem=found.history.problem
    )


def _anything_new(session: Session, interval: str, times: Times, now: datetime) -> bool:
    newest = session.newest_closed(interval, now, like=times)
    return newest is not None and bool(newest > session.named(interval, times[-1:])[0])


def _closed(session: Session, interval: str, frame: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """Without the candles that are still forming by our own clock, whatever the source thinks."""
    closes = session.close_times(interval, times_of(frame.index))
    return frame[closes <= moment(now)]


def _compared(
    symbol: Symbol,
    interval: str,
    now: datetime,
    answer: Answer,
    frame: pd.DataFrame,
    stored: tuple[Times, Array],
    session: Session,
) -> Look:
    known, values = stored
    told = times_of(frame.index)
    row = np.minimum(np.searchsorted(known, told), max(len(known) - 1, 0))
    is_known = known[row] == told if len(known) else np.zeros(len(told), bool)
    differs = is_known.copy()
    differs[is_known] = (frame.to_numpy()[is_known] != values.T[row[is_known]]).any(axis=1)
    stored_again, told_again = values.T[row[is_known]], frame.to_numpy()[is_known]
    refuse_another_scale(answer.source, f"{symbol} {interval}", stored_again, told_again)
    new = frame[~is_known]
    gaps = missing_runs(session, interval, known, times_of(new.index))
    return Look(symbol, interval, now, answer.source.name, new, frame[differs], gaps, answer.passed_over)


def _keep_revisions(symbol: Symbol, interval: str, frame: pd.DataFrame, source: str, now: datetime) -> int:
    """Only what the candle's own source says of it: another venue has other prices, and no revision is meant."""
    of_source = Candle.objects.filter(symbol=symbol, interval=interval, source=source)
    own = set(
        of_source.filter(open_time__in=pd.DatetimeIndex(frame.index).to_pydatetime()).values_list(
            "open_time", flat=True
        )
    )
    before = CandleRevision.objects.filter(symbol=symbol, interval=interval).count()
    CandleRevision.objects.bulk_create(
        [
            CandleRevision(
                symbol=symbol, interval=interval, open_time=time, source=source, seen_at=now,
                **dict(zip(COLUMNS, row, strict=True)),
            )
            for time, row in zip(pd.DatetimeIndex(frame.index).to_pydatetime(), frame.to_numpy().tolist(), strict=True)
            if time in own
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    return CandleRevision.objects.filter(symbol=symbol, interval=interval).count() - before


def _aware(time: np.datetime64) -> datetime:
    known: datetime = time.astype("datetime64[us]").item()
    return known.replace(tzinfo=UTC)
