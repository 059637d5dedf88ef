"""Writes of runs: one door for the command, and for everything else that runs backtests.

A run is made with `new_run`, saved or not, and ended once by `finish`, `fail` or `cancel`. The command saves only at
the end, so that bad input leaves no row.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.db import connection
from django.utils import timezone

from accounts.models import User
from backtests.document import Document, instrument_facts
from backtests.models import BacktestRun, Status
from backtests.options import InstrumentSource, Options, OptionsError
from backtests.runner import Progress, Result, run
from backtests.series import PriceHistory, load
from engine.orders import Instrument
from market.instruments import inferred_instrument, instrument_for, is_stored

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


def simulate(options: Options, on_progress: Progress | None = None) -> Result:
    """The result of a run on the candles that have closed, not recorded.

    Raises OptionsError, CandleError, TrainingError or MarketError.
    """

    def source(symbol: str, history: PriceHistory) -> tuple[PriceHistory, Instrument]:
        if options.instrument is InstrumentSource.INFERRED:
            return history, inferred_instrument(symbol, history.known)
        if not is_stored(symbol):
            raise OptionsError(f"the symbol {symbol} is not stored; without --instrument stored its steps are inferred")
        return history, instrument_for(symbol, history.known)

    # Not a loop, whose variables would hold a frame while the next one is read.
    return run(options, map(source, options.symbols, load(options, timezone.now())), on_progress)


def finish(row: BacktestRun, document: Document) -> BacktestRun:
    """Record what a run brought."""
    result = document.result
    row.start, row.end = (datetime.fromtimestamp(seconds, UTC) for seconds in result.times[[0, -1]].tolist())
    if result.options.instrument is InstrumentSource.STORED:
        # The stored rows may change.
        row.options["instruments"] = {one.symbol: instrument_facts(result, one) for one in result.instruments}
    row.metrics = document.summary["metrics"]
    row.summary = {name: value for name, value in document.summary.items() if name != "metrics"}
    row.trades, row.equity = document.trades_text, document.thinned_equity()
    row.progress = 100
    with _without_query_log():
        return _end(row, Status.DONE)


@contextmanager
def _without_query_log() -> Iterator[None]:
    """DEBUG logs statements with their parameters, which copies the trades several times."""
    # For this connection alone: mypy takes methods of a class for fixed.
    connection.make_debug_cursor = connection.make_cursor  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del connection.make_debug_cursor


def fail(row: BacktestRun, error: str) -> BacktestRun:
    row.error = error[:LONGEST_ERROR]
    return _end(row, Status.FAILED)


def cancel(row: BacktestRun) -> BacktestRun:
    return _end(row, Status.CANCELLED)


def _end(row: BacktestRun, status: str) -> BacktestRun:
    row.status, row.finished = status, timezone.now()
    row.save()
    return row
