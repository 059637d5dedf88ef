"""The gaps of a candle frame: intervals without candles in which the market was open."""

from collections.abc import Sequence

import pandas as pd

from engine.candles import Gap, find_gaps
from market.calendar.sessions import session_of, times_of


def session_gaps(frame: pd.DataFrame, interval: str, symbol: str) -> list[Gap]:
    """The gaps in which candles were expected, by the trading hours of the symbol; `missing` counts only those.

    Raises SymbolError.
    """
    holes = find_gaps(pd.DatetimeIndex(frame.index), interval)
    if not holes:
        return []
    session, times = session_of(symbol), times_of(frame.index)
    missing = pd.DatetimeIndex(session.missing(interval, times, times[0], times[-1]), tz="UTC")
    counted = [
        Gap(hole.after, hole.before, int(missing.searchsorted(hole.before) - missing.searchsorted(hole.after)))
        for hole in holes
    ]
    return [gap for gap in counted if gap.missing]


def gaps_line(frame: pd.DataFrame, interval: str, symbol: str) -> str | None:
    """One line about the gaps of a candle frame, or None where there are none. Raises SymbolError."""
    gaps: Sequence[Gap] = session_gaps(frame, interval, symbol)
    if not gaps:
        return None
    longest = max(gaps, key=lambda gap: gap.missing)
    missing = sum(gap.missing for gap in gaps)
    word = "gap" if len(gaps) == 1 else "gaps"
    return (
        f"{len(gaps)} {word}, reported and not filled: {missing} {interval} candles are missing; "
        f"the longest lacks {longest.missing} after {longest.after:%Y-%m-%d %H:%M} UTC"
    )
