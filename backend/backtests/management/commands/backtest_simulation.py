"""`backtest_simulation`: a strategy on past candles, out of sample and after costs."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.checks import Tags
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser, OutputWrapper

from accounts.models import User, user_by_email
from backtests import services
from backtests.document import Document
from backtests.models import BacktestRun
from backtests.options import Options, OptionsError, parse, parse_speed
from backtests.pacing import lines
from backtests.progress import progress_bar
from backtests.report_file import ReportError, check_path, write_page
from backtests.wording import notes
from config.embedded import prepare_embedded_database
from engine.candles import CandleError
from market.errors import MarketError
from market.symbols import parse_symbol

BAD_USAGE = 2
INTERRUPTED = 130
READER_GONE = 141

ARGUMENTS = {
    "start": "first UTC day (or ISO 8601 time) of the test; without it a trained model keeps the first third of the "
    "file as history, and sma_cross starts at once",
    "end": "last UTC day (or time) of the test, included; without it the end of the file",
    "model": "random_forest, gradient_boosting, hist_gradient_boosting, or sma_cross, a rule to hold them against",
    "initial_balance": "cash at the start",
    "confidence": "the probability that BUY or SELL has to reach, 0 to 1",
    "retrain_every": "candles between trainings, 0 trains once (default: an eighth of the history, at least 250)",
    "fee_rate": "commission as a fraction of the amount: 0.001 is 0.1 percent",
    "slippage": "slippage as a fraction of the price",
    "seed": "seed of the models",
    "stop_loss": "a fraction of the entry price below it; 0 for none",
    "take_profit": "a fraction of the entry price above it; 0 for none",
    "trailing_stop": "a fraction below the highest price since the entry; 0 for none",
    "max_position": "the largest position as a fraction of equity",
    "quantity": "a fixed size for every entry, instead of one by equity, confidence and risk",
    "max_open_positions": "no entry while so many positions are open",
    "max_exposure": "the largest sum of all positions as a fraction of equity",
    "max_daily_loss": "no entry after the loss of this fraction of the equity with which the UTC day began",
    "max_drawdown": "no entry while equity is by this fraction below its peak",
    "max_entries_per_day": "the most entries of a UTC day",
    "stop_fill": "what a stop that is reached inside a candle fills at: level, or low (of the candle)",
    "instrument": "where tick, lot step and least order come from: inferred (from the candles and the kind of the "
    "symbol), or stored (in the database)",
}
FLAGS = {"start": "--start-date", "end": "--end-date"}
DEFAULTS = {field.name: f" (default {field.default})" for field in fields(Options) if field.default is not None}


class OneLineParser(CommandParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}\n")
        sys.exit(BAD_USAGE)


class Command(BaseCommand):
    help = "Play past candles through a strategy, out of sample and after costs, and print how it did."
    requires_system_checks = [Tags.security]  # the others import every view

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(*args, **kwargs)
        # Django names the class of its parsers in one place that cannot be reached from here.
        parser.__class__ = OneLineParser
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", help="the user whose run this is; may be left out")
        parser.add_argument(
            "--symbol",
            default=settings.DEFAULT_SYMBOL,
            help="one symbol, or several for one account, as in BTCUSDT,ETHUSDT (default %(default)s)",
        )
        parser.add_argument("--interval", default=settings.DEFAULT_INTERVAL, help="default %(default)s")
        for name, words in ARGUMENTS.items():
            flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
            parser.add_argument(flag, dest=name, metavar=flag[2:].upper(), help=words + DEFAULTS.get(name, ""))
        parser.add_argument("--speed", default="0", help="seconds to wait after each candle, printing a line for each")
        parser.add_argument("--report", metavar="PATH", help="write an HTML page about the run to this file")
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object, and nothing else")

    def handle(self, *args: Any, **given: Any) -> None:
        # Rich and the JSON writer end their lines themselves.
        self.stdout.ending = self.stderr.ending = ""
        with one_line_errors():
            options, speed = options_of(given), parse_speed(given["speed"])
            page = None if given["report"] is None else check_path(given["report"])
            prepare_embedded_database()
            row = services.new_run(options, user_of(given["email"]))
        with one_line_errors(), cancelled_when_interrupted(row), quiet_without_a_reader():
            with progress_bar(sys.stderr) as on_progress:
                document = Document(services.simulate(options, on_progress))
            if speed:
                pace(document, speed, self.stderr if given["json"] else self.stdout)
            if page is not None:
                write_report(row, document, page)
            services.finish(row, document)
            self.print_result(row, document, page, as_json=given["json"])

    def print_result(self, row: BacktestRun, document: Document, page: Path | None, as_json: bool) -> None:
        if as_json:
            for notice in notes(document.result):
                self.stderr.write(f"note: {notice}\n")
            for chunk in document.chunks():
                self.stdout.write(chunk)
            return
        # Not for a script that asks for JSON.
        from backtests.terminal import show

        show(document, notes(document.result), self.stdout)
        written = "" if page is None else f" The report is {page}."
        self.stdout.write(f"Recorded as run {row.pk}.{written}\n")


def options_of(given: dict[str, Any]) -> Options:
    texts = {name: given[name] for name in ARGUMENTS}
    threshold = settings.MODEL_THRESHOLD_PERCENT / 100
    symbols = ",".join(parse_symbol(text) for text in given["symbol"].split(","))
    return parse(texts, symbol=symbols, interval=given["interval"], label_threshold=threshold)


def user_of(email: str | None) -> User | None:
    if email is None:
        return None
    user = user_by_email(email)
    if user is None:
        raise CommandError(
            f"no user has the e-mail {email[:80]!r}; make one with: ./photon createsuperuser --email ADDRESS"
        )
    return user


def pace(document: Document, seconds: float, stream: OutputWrapper) -> None:
    for line in lines(document.result):
        stream.write(f"{line}\n")
        stream.flush()
        time.sleep(seconds)


def write_report(row: BacktestRun, document: Document, page: Path) -> None:
    # Plotly and the templates take a moment that only a report should cost.
    from backtests.report import render

    try:
        write_page(page, render(document, notes(document.result)))
    except ReportError as error:
        services.fail(row, str(error))
        raise


@contextmanager
def one_line_errors() -> Iterator[None]:
    try:
        yield
    except (OptionsError, CandleError, MarketError, ReportError) as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        # Not for a run without a training.
        from learning.training.fit import TrainingError

        if not isinstance(error, TrainingError):
            raise
        raise CommandError(str(error)) from error


@contextmanager
def cancelled_when_interrupted(row: BacktestRun) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if row.finished is None:
            services.cancel(row)
            sys.stderr.write(f"interrupted; run {row.pk} is recorded as cancelled\n")
        sys.exit(INTERRUPTED)


@contextmanager
def quiet_without_a_reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # `| head` has seen enough. Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(READER_GONE)
