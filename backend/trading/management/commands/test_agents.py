"""`test_agents`: market, decision and execution of one symbol for one user, candle by candle."""

import time
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from market.errors import MarketError
from trading.management.accounts import account_of, seconds, symbol_of
from trading.runtime.pipeline import make_pipeline
from trading.runtime.single_candles import CandleMessages, prepared_market, process_candle, trading


class Command(BaseCommand):
    help = "Run the three agents on the next candles of a symbol and show a line of each of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--symbol", required=True)
        parser.add_argument("--iterations", type=int, default=1, help="how many candles (default %(default)s)")
        parser.add_argument("--delay", type=seconds, default=0.0, help="seconds between two candles")
        parser.add_argument(
            "--execute", action="store_true", help="keep what was done; without it every candle is rolled back"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_embedded_database()
        account, symbol = account_of(options["email"]), symbol_of(options["symbol"])
        pipeline = make_pipeline()
        try:
            market = prepared_market(account, symbol, pipeline)
        except MarketError as error:
            raise CommandError(str(error)) from error
        with trading(account, symbol):
            for number in range(options["iterations"]):
                time.sleep(options["delay"] if number else 0)
                if not self._show(process_candle(account, market, pipeline, options["execute"])):
                    break
        if not options["execute"]:
            self.stdout.write("Nothing of this was kept: --execute keeps it, and goes on with the next candle.")

    def _show(self, messages: CandleMessages | None) -> bool:
        if messages is None:
            self.stdout.write("There is no next candle, or too few before it for the indicators.")
            return False
        for line in described(messages):
            self.stdout.write(line)
        return True


def described(messages: CandleMessages) -> list[str]:
    """A line for each agent."""
    snapshot, made, report = messages.snapshot.payload, messages.decision, messages.report
    close, analysis = snapshot["ohlcv"]["close"], snapshot["analysis"]
    market = f"{snapshot['ticker']} closed at {close:g}, trend {analysis['trend']}, strength {analysis['strength']:.2f}"
    decision = "no decision: there is no model yet" if made is None else f"{made.reasoning} ({made.model_type})"
    execution = "nothing to report" if report is None else f"{report.payload['status']}: {report.payload['message']}"
    return [
        f"{snapshot['timestamp']}  market     {market}",
        f"{'':20}  decision   {decision}",
        f"{'':20}  execution  {execution}",
    ]
