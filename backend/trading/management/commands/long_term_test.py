"""`long_term_test`: the agents on one symbol for a given time, with an audit at the end."""

from time import monotonic
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from market.errors import MarketError
from trading.books.audit import differences
from trading.management.accounts import account_of, seconds, symbol_of
from trading.models import Account
from trading.runtime.pipeline import Pipeline, make_pipeline
from trading.runtime.single_candles import prepared_market, process_candle, trading
from trading.runtime.stop import Stop
from trading.selectors.markets import Market


class Command(BaseCommand):
    help = "Run the three agents on a symbol until the time is over, the candles end or Ctrl+C; then audit the books."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--symbol", required=True)
        parser.add_argument("--duration", type=seconds, required=True, help="seconds")
        parser.add_argument(
            "--interval", type=seconds, default=1.0, help="seconds for each candle (default %(default)s)"
        )
        parser.add_argument(
            "--execute", action="store_true", help="keep what was done; without it the same candle is tried each time"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_embedded_database()
        account, symbol = account_of(options["email"]), symbol_of(options["symbol"])
        pipeline, stop = make_pipeline(), Stop()
        stop.on_signals()
        try:
            market = prepared_market(account, symbol, pipeline)
        except MarketError as error:
            raise CommandError(str(error)) from error
        with trading(account, symbol):
            self._play(account, market, pipeline, stop, options)
        self._audit(account)

    def _play(self, account: Account, market: Market, pipeline: Pipeline, stop: Stop, options: dict[str, Any]) -> None:
        begun, candles, slowest = monotonic(), 0, 0.0
        while monotonic() - begun < options["duration"] and not stop.is_set():
            cycle_begun = monotonic()
            if process_candle(account, market, pipeline, options["execute"]) is None:
                self.stdout.write("No candle is left.")
                break
            candles, slowest = candles + 1, max(slowest, monotonic() - cycle_begun)
            left = begun + options["duration"] - monotonic()
            stop.wait(min(max(cycle_begun + options["interval"] - monotonic(), 0.0), max(left, 0.0)))
        self.stdout.write(f"{candles} candles in {monotonic() - begun:.0f} s, the slowest in {slowest * 1000:.0f} ms.")

    def _audit(self, account: Account) -> None:
        found = list(differences(Account.objects.filter(pk=account.pk)))
        for line in found:
            self.stdout.write(line)
        if found:
            raise CommandError(f"the audit found {len(found)} differences")
        account.refresh_from_db()
        self.stdout.write(f"The books add up: equity {account.equity:.2f}, cash {account.cash:.2f}.")
