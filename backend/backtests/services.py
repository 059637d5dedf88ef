"""Writes of runs: one door for the command, and for everything else that runs backtests.

A run is made with `new_run`, saved or not, and ended once by `finish`, `fail` or `cancel`. The command saves only at
the end, so that bad input leaves no row.
"""

from datetime import datetime

from django.utils import timezone

from accounts.models import User
from backtests.document import Document
from backtests.models import BacktestRun, Status
from backtests.options import Options
from backtests.runner import Progress, Result, run
from backtests.series import Series, load
from market.instruments import instrument_for

LONGEST_ERROR = 1000


def new_run(options: Options, user: User | None = None, status: str = Status.RUNNING) -> BacktestRun:
    """A run that has not been saved."""
    now = timezone.now()
    return BacktestRun(
        user=user,
        symbol=options.symbol,
        interval=options.interval,
        start=options.start,
        end=options.end,
        model=options.model.value,
        seed=options.seed,
        options=options.as_json(),
        status=status,
        created=now,
        started=now if status == Status.RUNNING else None,
    )


def series_for(options: Options) -> Series:
    """The candles of the options' file that have closed. Raises OptionsError, CandleError or MarketError."""
    return load(options, timezone.now())


def simulate(options: Options, series: Series, on_progress: Progress | None = None) -> Result:
    """The result of a run, not recorded. Raises OptionsError, TrainingError or MarketError."""
    return run(options, series, instrument_for(options.symbol, series.known), on_progress)


def finish(row: BacktestRun, document: Document) -> BacktestRun:
    """Record what a run brought."""
    row.start, row.end = _bounds(document.result)
    row.metrics = document.summary["metrics"]
    row.summary = {name: value for name, value in document.summary.items() if name != "metrics"}
    row.trades, row.equity = document.trades, document.thinned_equity()
    row.progress = 100
    return _end(row, Status.DONE)


def fail(row: BacktestRun, error: str) -> BacktestRun:
    row.error = error[:LONGEST_ERROR]
    return _end(row, Status.FAILED)


def cancel(row: BacktestRun) -> BacktestRun:
    return _end(row, Status.CANCELLED)


def _end(row: BacktestRun, status: str) -> BacktestRun:
    row.status, row.finished = status, timezone.now()
    row.save()
    return row


def _bounds(result: Result) -> tuple[datetime, datetime]:
    index = result.candles.index
    return index[0].to_pydatetime(), index[-1].to_pydatetime()
