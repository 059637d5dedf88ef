"""`check_leakage`: checks each input of the models for look-ahead."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from engine.candles import INTERVALS, CandleError
from engine.features import FeatureForm
from learning.scores.leakage import CUTS, Columns, LeakageError, Verdict, feature_columns, verdicts
from market.errors import MarketError
from market.models import Symbol
from market.selectors import candle_frame
from market.sources import csv_file
from market.symbols import parse_symbol

LEAKS, UNDECIDED = 1, 2
STORED, CSV = "stored", "csv"
PLANTED = COMPUTED, LOOKED_UP = "planted_computed", "planted_looked_up"


class Command(BaseCommand):
    help = (
        "Check that no input of the models uses future data: each is computed again with later candles removed and "
        "replaced, and reported if it predicts too well. Exit code 1 if an input leaks, 2 if it cannot be decided."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", required=True)
        parser.add_argument("--interval", default=settings.DEFAULT_INTERVAL, choices=list(INTERVALS))
        parser.add_argument(
            "--candles", choices=(STORED, CSV), help="source (default: stored candles, otherwise the csv file)"
        )
        parser.add_argument("--history", type=int, help="use the newest candles only (default: all)")
        forms = [form.value for form in FeatureForm]
        parser.add_argument("--form", default=FeatureForm.STATIONARY.value, choices=forms)
        parser.add_argument(
            "--column", type=Path, action="append", default=[], metavar="FILE",
            help="a CSV file of an additional column: open time of the candle, value; may be repeated",
        )  # fmt: skip
        parser.add_argument(
            "--plant", action="store_true", help="add two columns that use future data, to see the check fail"
        )

    def handle(self, *args: Any, **given: Any) -> None:
        prepare_embedded_database()
        try:
            candles, of = found_candles(given["symbol"], given["interval"], given["candles"])
            candles = newest(candles, given["history"])
            own = [own_columns(path) for path in given["column"]]
            parts = [feature_columns(FeatureForm(given["form"])), *own, *(planted(candles) if given["plant"] else [])]
            self.stdout.write(f"{of}: {len(candles):,} candles, {candles.index[0]} to {candles.index[-1]}")
            found = verdicts(beside(parts), candles)
        except (MarketError, CandleError, LeakageError) as error:
            raise CommandError(str(error), returncode=UNDECIDED) from error
        self.report(found, {str(name) for part in own for name in part(candles)}, given["plant"])

    def report(self, found: Sequence[Verdict], own: set[str], is_planted: bool) -> None:
        shares = ", ".join(f"{share:.0%}" for share in CUTS)
        self.stdout.write(f"Later candles removed, and replaced, from {shares} of the history on:")
        for verdict in found:
            self.stdout.write(line(verdict, verdict.column in own))
        leaks = [verdict.column for verdict in found if verdict.leak]
        undecided = [verdict.column for verdict in found if verdict.area is None and verdict.column in own]
        if is_planted and not set(PLANTED) <= set(leaks):
            raise CommandError("a planted column was not found: too few candles", returncode=UNDECIDED)
        if leaks:
            raise CommandError(f"{len(leaks)} of {len(found)} use future data: {', '.join(leaks)}", returncode=LEAKS)
        if undecided:
            raise CommandError(f"too few moves to check {', '.join(undecided)}", returncode=UNDECIDED)
        self.stdout.write(f"None of {len(found)} uses future data.")


def found_candles(symbol: str, interval: str, where: str | None) -> tuple[pd.DataFrame, str]:
    """The candles of a market, and their description. Raises MarketError or CandleError."""
    name = parse_symbol(symbol)
    row = Symbol.objects.filter(symbol=name).first()
    if where != CSV and row is not None and not (stored := candle_frame(row, interval)).empty:
        return stored, f"{name} {interval}, stored"
    if where == STORED:
        raise LeakageError(f"no {interval} candles of {name} are stored")
    path = csv_file.find(name, interval)
    return csv_file.read(path, interval), f"{name} {interval}, {path.name}"


def newest(candles: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """Raises LeakageError."""
    if count is None:
        return candles
    if count < 1:
        raise LeakageError("--history counts candles and must be at least 1")
    return candles.iloc[-count:]


def own_columns(path: Path) -> Columns:
    """The columns of a file; they do not depend on the candles. Raises LeakageError."""
    try:
        table = pd.read_csv(path, index_col=0).astype(np.float64)
        table.index = pd.to_datetime(table.index, utc=True)
    except (OSError, ValueError) as error:
        raise LeakageError(f"{path}: not a column of times and columns of numbers: {error}") from error
    if not table.index.is_unique or table.columns.empty:
        raise LeakageError(f"{path}: a time occurs twice, or there is no column of values")
    return lambda candles: table.reindex(candles.index)


def planted(candles: pd.DataFrame) -> list[Columns]:
    """A column that is computed from the next candle, and one that is looked up in a table of next candles."""
    table = candles["close"].shift(-1)

    def computed(some: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({COMPUTED: some["close"].shift(-1)})

    def looked_up(some: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({LOOKED_UP: table.reindex(some.index)})

    return [computed, looked_up]


def beside(parts: Sequence[Columns]) -> Columns:
    """The columns of all parts. Raises LeakageError where two have the same name."""

    def columns(candles: pd.DataFrame) -> pd.DataFrame:
        frame = pd.concat([part(candles) for part in parts], axis=1)
        if not frame.columns.is_unique:
            twice = ", ".join(frame.columns[frame.columns.duplicated()])
            raise LeakageError(f"two columns of the same name: {twice}")
        return frame

    return columns


def line(verdict: Verdict, is_own: bool) -> str:
    if verdict.leak:
        return f"  {verdict.column:<20} LEAKS: {verdict.leak.why}"
    # The first check proves nothing for a column of a file, which does not depend on the candles.
    first = "" if is_own else "unchanged by later candles; "
    area = "too few moves to check" if verdict.area is None else f"AUC {verdict.area:.2f}, the farthest from 0.50"
    return f"  {verdict.column:<20} {'undecided' if is_own and verdict.area is None else 'passes'}: {first}{area}"
