"""What people are told about the holes in a series."""

import pandas as pd

from engine.candles import find_gaps


def gaps_line(frame: pd.DataFrame, interval: str) -> str | None:
    """One line about the gaps of a candle frame, or None where there are none."""
    gaps = find_gaps(pd.DatetimeIndex(frame.index), interval)
    if not gaps:
        return None
    longest = max(gaps, key=lambda gap: gap.missing)
    missing = sum(gap.missing for gap in gaps)
    return (
        f"{len(gaps)} gaps, reported and not filled: {missing} candles are missing from an unbroken {interval} series; "
        f"the longest lacks {longest.missing} after {longest.after:%Y-%m-%d %H:%M} UTC"
    )
