"""`download_historical_data`: downloads a history of candles into a CSV file for back-tests and training."""

import re
import sys
from argparse import ArgumentTypeError
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from engine.candles import CandleError
from market.calendar.gaps import gaps_line
from market.errors import MarketError, NoSource, SourceError
from market.ingestion.download import Download, Downloaded, utc_now
from market.sources.base import Source
from market.symbols import parse_symbol

INTERRUPTED = 130
UNITS = {"d": "days", "w": "weeks", "mo": "months", "y": "years"}


class Command(BaseCommand):
    help = "Download candles into OUTPUT_DIR/SYMBOL_INTERVAL.csv; run it again to resume, or to bring it up to date."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", default=settings.DEFAULT_SYMBOL, help="default %(default)s")
        parser.add_argument(
            "--period", type=period, default="1mo", help="30d, 2w, 6mo or 1y back from now; default 1mo"
        )
        parser.add_argument("--interval", default=settings.DEFAULT_INTERVAL, help="default %(default)s")
        parser.add_argument("--output-dir", type=Path, default=Path("data"), help="default ./data")
        parser.add_argument("--source", help="bybit, binance, yahoo, ccxt:NAME, ...; default: the first that serves it")

    def handle(self, *args: Any, **given: Any) -> None:
        prepare_embedded_database()
        now = utc_now()
        try:
            symbol = parse_symbol(given["symbol"])
            done = self.download(symbol, given, now, wanted_sources(symbol, given["source"]))
        except (MarketError, CandleError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stderr.write("\ninterrupted; what has arrived is kept, and the same command resumes from there")
            sys.exit(INTERRUPTED)
        self.print_result(done, symbol, given["interval"])

    def download(self, symbol: str, given: dict[str, Any], now: datetime, sources: list[Source]) -> Downloaded:
        failures: list[SourceError] = []
        for source in sources:
            start = (pd.Timestamp(now) - given["period"]).to_pydatetime()
            earliest = source.earliest(given["interval"], now)
            if earliest is not None and earliest > start:
                self.stderr.write(
                    f"{source.name} keeps {given['interval']} candles since {earliest:%Y-%m-%d %H:%M} UTC"
                )
                start = earliest
            try:
                return Download(source, symbol, given["interval"], start, now, given["output_dir"]).run(self.progress)
            except SourceError as error:
                self.stderr.write(f"{error}; what has arrived is kept, and the same command resumes from there")
                failures.append(error)
        raise NoSource(f"{symbol} {given['interval']}", failures)

    def progress(self, done: int, total: int) -> None:
        self.stderr.write(f"{done:,} of {total:,} candles requested ({100 * done // max(total, 1)} %)")

    def print_result(self, done: Downloaded, symbol: str, interval: str) -> None:
        first, last = done.candles.index[0], done.candles.index[-1]
        self.stdout.write(
            f"{done.path}: {len(done.candles):,} candles, {done.new:,} of them new, "
            f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC; "
            f"{gaps_line(done.candles, interval, symbol) or 'no gaps'}"
        )


def period(text: str) -> pd.DateOffset:
    match = re.fullmatch(r"([1-9][0-9]{0,3})(d|w|mo|y)", text.strip().lower())
    if not match or (match[2] == "y" and int(match[1]) > 50):
        raise ArgumentTypeError(f"must look like 30d, 2w, 6mo or 1y, not {text!r}")
    length: dict[str, Any] = {UNITS[match[2]]: int(match[1])}
    return pd.DateOffset(**length)


def wanted_sources(symbol: str, name: str | None) -> list[Source]:
    from market.sources import choice

    return [choice.named(name)] if name else choice.sources_for(symbol, files=False)
