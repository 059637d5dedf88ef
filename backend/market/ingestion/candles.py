"""From a source into the candle table: closed candles only, nothing twice, nothing rewritten.

The first request goes back a month or more (market.ingestion.history). Later ones repeat the last stored candles: where
a source reports other values for one of them, the stored candle stays and the new version becomes a CandleRevision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from django.db import transaction

from database import candles as candle_table
from engine.candles import COLUMNS
from market.calendar.sessions import aware, moment, session_of, times_of
from market.ingestion.backfill import Runs, missing_runs, store_gaps
from market.ingestion.history import OVERLAP, EarlierCandles, first_history, first_start, store_history
from market.ingestion.rescaling import refuse_another_scale
from market.models import Candle, CandleRevision, Symbol
from market.selectors import frame_of
from market.services import hold
from market.sources.base import FetchedCandles

Fetch = Callable[[str, str, datetime, datetime], FetchedCandles]
"""Symbol, interval, start and end to candles and the source that served them (market.sources.choice).

Raises MarketError.
"""


@dataclass(frozen=True, slots=True)
class CandleUpdate:
    """What a poll found and the table does not have yet; nothing of it is stored."""

    symbol: Symbol
    interval: str
    now: datetime
    source: str | None
    """None where no source was asked, because nothing can have closed since."""
    new: pd.DataFrame
    """Closed candles that are not stored, in order."""
    changed: pd.DataFrame
    """Those that are stored with other values."""
    gaps: Runs = ()
    history: EarlierCandles | None = None
    """The time before `new`, at the first poll."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """Counts of what an ingestion stored."""

    source: str | None
    new: int = 0
    revised: int = 0
    gaps: int = 0
    problem: str = ""
    """Why the history is shorter than requested; a source that has no more is no problem."""


def ingest(symbol: Symbol, interval: str, fetch: Fetch, now: datetime, again: int = 0) -> Ingested:
    """Stores what has closed since the last time. Raises MarketError or CandleError, and has then stored nothing.

    `again` is a number of stored candles to request once more, whether anything has closed since or not.
    """
    return store(poll(symbol, interval, fetch, now, again))


def poll(symbol: Symbol, interval: str, fetch: Fetch, now: datetime, again: int = 0) -> CandleUpdate:
    """What has closed since the last time, by the source's clock and `now`. Raises MarketError or CandleError."""
    session = session_of(symbol.symbol, symbol.kind)
    known, values = candle_table.read(symbol.pk, interval, newest=again or OVERLAP)
    if len(known) and not again:
        newest = session.newest_closed(interval, now, like=known)
        if newest is None or newest <= session.named(interval, known[-1:])[0]:
            nothing = frame_of(known[:0], values[:, :0])
            return CandleUpdate(symbol, interval, now, None, nothing, nothing)
    start = aware(known[0]) if len(known) else first_start(session, interval, now)
    fetched = fetch(symbol.symbol, interval, start, now)
    # Without a candle that is still forming by our own clock, whatever the source says.
    frame = fetched.candles[session.close_times(interval, times_of(fetched.candles.index)) <= moment(now)]
    is_known = np.isin(times_of(frame.index), known)
    reported = frame.to_numpy()[is_known]
    stored = values.T[np.searchsorted(known, times_of(frame.index)[is_known])]
    refuse_another_scale(fetched.source, f"{symbol} {interval}", stored, reported)
    new, changed = frame[~is_known], frame[is_known][(reported != stored).any(axis=1)]
    gaps = missing_runs(session, interval, known, times_of(new.index))
    history = None
    if not len(known) and len(new):
        history = first_history(symbol, interval, fetched.source, start, new, now)
    return CandleUpdate(symbol, interval, now, fetched.source.name, new, changed, gaps, history)


@transaction.atomic
def store(update: CandleUpdate) -> Ingested:
    """Stores new candles, revisions and gaps. Those that another process has stored meanwhile are no error."""
    if update.source is None:
        return Ingested(None)
    symbol, interval, source, now = update.symbol, update.interval, update.source, update.now
    hold(symbol)
    new = candle_table.insert(symbol.pk, interval, source, now, times_of(update.new.index), update.new.to_numpy())
    revised = 0 if update.changed.empty else _store_revisions(symbol, interval, update.changed, source, now)
    gaps = store_gaps(symbol, interval, update.gaps, now)
    if update.history is None:
        return Ingested(source, new, revised, gaps)
    before, missing = store_history(symbol, interval, source, update.history, now)
    return Ingested(source, before + new, revised, missing + gaps, update.history.problem)


def _store_revisions(symbol: Symbol, interval: str, frame: pd.DataFrame, source: str, now: datetime) -> int:
    """Only for candles of the same source: another venue has other prices, which are no revision."""
    times = pd.DatetimeIndex(frame.index).to_pydatetime()
    of_source = Candle.objects.filter(symbol=symbol, interval=interval, source=source, open_time__in=times)
    own = set(of_source.values_list("open_time", flat=True))
    revisions = CandleRevision.objects.filter(symbol=symbol, interval=interval)
    before = revisions.count()
    CandleRevision.objects.bulk_create(
        [
            CandleRevision(
                symbol=symbol, interval=interval, open_time=time, source=source, seen_at=now,
                **dict(zip(COLUMNS, row, strict=True)),
            )
            for time, row in zip(times, frame.to_numpy().tolist(), strict=True)
            if time in own
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    return revisions.count() - before
