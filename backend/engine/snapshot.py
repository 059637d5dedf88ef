"""The MARKET_SNAPSHOT: everything the Decision Maker may know about a market at the close of one candle."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import pandas as pd

from engine.analysis import ANALYSIS, analysis, analysis_columns
from engine.candles import COLUMNS, INTERVALS, interval_length
from engine.indicators import INDICATORS, Array, indicator_columns, indicators

MARKET_COLUMNS = (*COLUMNS, *INDICATORS, *ANALYSIS)

TRENDS = {1.0: "bull", 0.0: "sideways", -1.0: "bear"}
RSI_STATES = {1.0: "overbought", 0.0: "neutral", -1.0: "oversold"}
# Candles that the averages and the analysis of the newest one use; the longest are the 50 of an average.
REMEMBERED = 64
SIGNS = (-1.0, 0.0, 1.0)


class SnapshotError(ValueError):
    """A MARKET_SNAPSHOT payload that cannot be read back."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The market of one symbol at `close_time`; `values` holds a finite number for each of MARKET_COLUMNS."""

    symbol: str
    interval: str
    open_time: datetime
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        if not (isinstance(self.symbol, str) and self.symbol):
            raise ValueError(f"a snapshot needs a symbol, not {self.symbol!r}")
        if self.open_time.utcoffset() != timedelta(0):
            raise ValueError("a snapshot needs an aware time in UTC")
        if tuple(self.values) != MARKET_COLUMNS:
            raise ValueError(f"a snapshot needs the values {MARKET_COLUMNS}, not {tuple(self.values)}")
        if not all(isfinite(value) for value in self.values.values()):
            raise ValueError(f"a snapshot needs finite values: {self.values}")
        if any(self.values[name] not in SIGNS for name in ("trend", "rsi_state", "sma_cross")):
            raise ValueError(f"trend, rsi_state and sma_cross are -1, 0 or 1: {self.values}")

    @property
    def close_time(self) -> datetime:
        return self.open_time + INTERVALS[self.interval]

    def to_json(self) -> dict[str, Any]:
        """The payload of a MARKET_SNAPSHOT message; floats keep every bit through JSON."""
        values = self.values
        return {
            "timestamp": self.close_time.isoformat().replace("+00:00", "Z"),
            "ticker": self.symbol,
            "interval": self.interval,
            "ohlcv": {name: values[name] for name in COLUMNS},
            "indicators": {name: values[name] for name in INDICATORS},
            "analysis": {
                "trend": TRENDS[values["trend"]],
                "strength": values["strength"],
                "signals": {"rsi_state": RSI_STATES[values["rsi_state"]], "sma_cross": int(values["sma_cross"])},
            },
        }

    @classmethod
    def from_json(cls, payload: Mapping[str, Any]) -> "Snapshot":
        """The snapshot that `to_json` wrote. Raises SnapshotError for anything else."""
        try:
            view, signals = payload["analysis"], payload["analysis"]["signals"]
            known = {**payload["ohlcv"], **payload["indicators"], "strength": view["strength"]}
            known["trend"] = _code(TRENDS, view["trend"])
            known["rsi_state"] = _code(RSI_STATES, signals["rsi_state"])
            known["sma_cross"] = signals["sma_cross"]
            length: timedelta = interval_length(payload["interval"])
            return cls(
                symbol=payload["ticker"],
                interval=payload["interval"],
                open_time=datetime.fromisoformat(payload["timestamp"]) - length,
                values={name: _number(known[name]) for name in MARKET_COLUMNS},
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SnapshotError(f"not a market snapshot: {error!r}") from error


def market_frame(candles: pd.DataFrame) -> pd.DataFrame:
    """Candles, indicators and analysis side by side: the columns MARKET_COLUMNS on the candles' index."""
    known = indicators(candles)
    return pd.concat([candles.loc[:, list(COLUMNS)], known, analysis(candles, known)], axis=1)


def snapshot_at(market: pd.DataFrame, row: int, symbol: str, interval: str) -> Snapshot | None:
    """The snapshot of one row of a market frame, or None while an indicator is still warming up."""
    values = dict(zip(MARKET_COLUMNS, market.iloc[row].to_list(), strict=True))
    return _complete(symbol, interval, market.index[row].to_pydatetime(), values)


def newest_snapshot(candles: Mapping[str, Array], open_time: datetime, symbol: str, interval: str) -> Snapshot | None:
    """The snapshot at the last of n candles, by COLUMNS, each (n,): equal to that of `snapshot_at`."""
    known = indicator_columns(candles["close"], candles["volume"], newest=REMEMBERED)
    columns = {**candles, **known, **analysis_columns(candles["close"][-REMEMBERED:], known)}
    values = {name: float(columns[name][-1]) for name in MARKET_COLUMNS}
    return _complete(symbol, interval, open_time, values)


def _complete(symbol: str, interval: str, open_time: datetime, values: dict[str, float]) -> Snapshot | None:
    if not all(isfinite(value) for value in values.values()):
        return None
    return Snapshot(symbol, interval, open_time, values)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _code(names: Mapping[float, str], name: str) -> float:
    for code, known in names.items():
        if known == name:
            return code
    raise ValueError(f"unknown word {name!r}")
