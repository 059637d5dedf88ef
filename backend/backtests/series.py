"""The candles that a run may see, and where its test begins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from backtests.options import Options, OptionsError, spell
from engine.candles import interval_length
from market.sources import csv_file

# What a weekend, a holiday or the delay of a download explains. A range that sticks out further was not meant for
# this file, and running on what is left of it would answer another question.
LARGEST_OVERHANG = timedelta(days=7)
HISTORY_SHARE = 3
SLOWEST_AVERAGE = 50


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """The candles of one instrument up to the end of a run; row `start` is the first of its test.

    `notices` say where the file holds less than was asked for.
    """

    candles: pd.DataFrame
    start: int
    notices: tuple[str, ...] = ()

    @property
    def tested(self) -> pd.DataFrame:
        return self.candles.iloc[self.start :]

    @property
    def known(self) -> pd.DataFrame:
        """What had been seen at the first decision that any model could make."""
        return self.candles.iloc[: max(self.start, SLOWEST_AVERAGE - 1) + 1]


def load(options: Options, now: datetime) -> Iterator[PriceHistory]:
    """The candles of each symbol, in the order of their names, without those still open at `now`.

    A file is read when its turn comes. Raises OptionsError, CandleError or MarketError.
    """
    if len(options.symbols) > 1 and options.start is None and options.model.is_trained:
        options = replace(options, start=_common_start(options, now))
    for symbol in options.symbols:
        path = csv_file.find(symbol, options.interval)
        yield cut(csv_file.read(path, options.interval), options, path, now)


def cut(candles: pd.DataFrame, options: Options, path: Path, now: datetime) -> PriceHistory:
    """The part of a candle frame that a run may see. Raises OptionsError naming what the frame covers."""
    candles = _closed(candles, options, path, now)
    index = pd.DatetimeIndex(candles.index)
    # On a shared account a series may begin later or end earlier than the test.
    if len(options.symbols) == 1:
        _check_overhang(options, index, path)
    end = len(index) if options.end is None else int(index.searchsorted(_stamp(options.end), side="right"))
    start = _first_row(options, index, end)
    if start == 0 and options.model.is_trained:
        raise OptionsError(
            f"a model needs candles before {_spell_time(index[0])} to train on: {_coverage(path, index)}"
        )
    if start >= end:
        raise OptionsError(f"no candle between {_spell_range(options)}: {_coverage(path, index)}")
    return PriceHistory(candles.iloc[:end], start, tuple(_notices(options, index, path)))


def _closed(candles: pd.DataFrame, options: Options, path: Path, now: datetime) -> pd.DataFrame:
    candles = candles.iloc[: candles.index.searchsorted(_stamp(now - interval_length(options.interval)), side="right")]
    if candles.empty:
        raise OptionsError(f"{path.name} holds no candle that has closed yet")
    return candles


def _common_start(options: Options, now: datetime) -> datetime:
    """After the first third of the time that all series have candles of, up to the end of the run."""
    spans: Mapping[str, tuple[pd.Timestamp, pd.Timestamp]] = {
        path.name: (index[0], index[-1])
        for path in (csv_file.find(symbol, options.interval) for symbol in options.symbols)
        for index in (_closed(csv_file.read(path, options.interval), options, path, now).index,)
    }
    first, last = max(first for first, _ in spans.values()), min(last for _, last in spans.values())
    if options.end is not None:
        last = min(last, _stamp(options.end))
    if first >= last:
        covered = ", ".join(
            f"{name} {_spell_time(begin)} to {_spell_time(end)}" for name, (begin, end) in spans.items()
        )
        raise OptionsError(f"without a start date the symbols need time in common: {covered}")
    return _moment((first + (last - first) / HISTORY_SHARE).ceil("s"))


def _first_row(options: Options, index: pd.DatetimeIndex, end: int) -> int:
    if options.start is not None:
        return int(index.searchsorted(_stamp(options.start)))
    return end // HISTORY_SHARE if options.model.is_trained else 0


def _check_overhang(options: Options, index: pd.DatetimeIndex, path: Path) -> None:
    if options.start is not None and options.start < _moment(index[0]) - LARGEST_OVERHANG:
        raise OptionsError(f"the start {spell(options.start)} is before the first candle: {_coverage(path, index)}")
    if options.end is not None and options.end > _moment(index[-1]) + LARGEST_OVERHANG:
        raise OptionsError(f"the end {spell(options.end)} is after the last candle: {_coverage(path, index)}")


def _notices(options: Options, index: pd.DatetimeIndex, path: Path) -> Iterator[str]:
    if options.start is not None and options.start.date() < index[0].date():
        yield f"the start {spell(options.start)} is before the first candle: {_coverage(path, index)}"
    if options.end is not None and options.end.date() > index[-1].date():
        yield f"the end {spell(options.end)} is after the last candle: {_coverage(path, index)}"


def _coverage(path: Path, index: pd.DatetimeIndex) -> str:
    return f"{path.name} covers {_spell_time(index[0])} to {_spell_time(index[-1])} UTC"


def _spell_range(options: Options) -> str:
    start = "the beginning" if options.start is None else spell(options.start)
    return f"{start} and {'its end' if options.end is None else spell(options.end)}"


def _spell_time(stamp: pd.Timestamp) -> str:
    return spell(_moment(stamp))


def _moment(stamp: pd.Timestamp) -> datetime:
    return stamp.to_pydatetime(warn=False)


def _stamp(moment: datetime) -> pd.Timestamp:
    return pd.Timestamp(moment.astimezone(UTC))
