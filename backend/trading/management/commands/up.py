"""`up`: the platform in one process: a demo account, its agents and the web site."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser
from django.core.servers.basehttp import get_internal_wsgi_application

from config.embedded import prepare_embedded_database
from engine.candles import CandleError
from market.errors import MarketError
from market.sources import csv_file
from market.sources.replay import ReplaySource
from market.symbols import parse_symbol
from trading.books import demo
from trading.live.feeds import LIVE
from trading.management.accounts import seconds
from trading.runtime import on_demand
from trading.runtime.loop import Runner
from trading.runtime.pipeline import make_pipeline
from trading.runtime.site import PortInUse, Site


class Command(BaseCommand):
    help = "Prepare the database, make a demo account, and run its agents and the web site until Ctrl+C or SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="default %(default)s")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--replay", type=Path, metavar="FILE", help="play this SYMBOL_INTERVAL.csv with a demo account of its own"
        )
        what.add_argument("--live", action="store_true", help="follow live prices with a demo account of its own")
        parser.add_argument("--speed", type=seconds, default=1.0, help="seconds for each candle (default %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        live = options["live"]
        demo_market = LiveDemo() if live else ReplayDemo(options["replay"])
        try:
            site = Site(get_internal_wsgi_application(), options["host"], options["port"])
        except PortInUse as error:
            raise CommandError(f"{error}; --port chooses another one") from error
        prepare_embedded_database()
        self._open_demo(demo_market, options["host"])
        runner = Runner(options["speed"], make_pipeline(LIVE if live else None, demo_market.source), say=self.say)
        runner.stop.on_signals()
        on_demand.use(runner.pipeline)
        site.start()
        self.say(f"open http://{options['host']}:{options['port']}/ - Ctrl+C ends everything")
        runner.run()
        site.close()
        self.say("everything has stopped; the next start goes on from here")

    def _open_demo(self, demo_market: "ReplayDemo | LiveDemo", host: str) -> None:
        account, password = demo.demo_account(demo_market.email, demo_market.symbols, demo_market.interval)
        if password:
            self.say(f"made the demo user {demo_market.email} with the password {password}")
            self.say(f"it is shown only now; ./photon changepassword {demo_market.email} sets another one")
        # Only this machine can reach the site: the demo needs no login.
        if _is_loopback(host) and settings.DEBUG and not settings.ALLOWED_HOSTS:
            settings.OPEN_ACCOUNT_ID = account.pk
        self.say(
            f"the demo account {demo_market.email} trades {', '.join(demo_market.symbols)} at {demo_market.interval}"
        )

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


class LiveDemo:
    """The demo account of `--live`: the default market, live."""

    def __init__(self) -> None:
        self.email, self.interval = demo.LIVE_EMAIL, settings.DEFAULT_INTERVAL
        self.symbols: tuple[str, ...] = (parse_symbol(settings.DEFAULT_SYMBOL),)
        self.source = ReplaySource.of_file


class ReplayDemo:
    """The demo account that replays the bundled markets, or one file of the user."""

    def __init__(self, path: Path | None) -> None:
        self.email, self.interval = demo.EMAIL, demo.INTERVAL
        self.symbols: tuple[str, ...] = demo.BUNDLED
        self._own: ReplaySource | None = None
        if path is not None:
            self._open(path)

    def source(self, symbol: str, interval: str) -> ReplaySource:
        if self._own is not None and (symbol, interval) == (self.symbols[0], self.interval):
            return self._own
        return ReplaySource.of_file(symbol, interval)

    def _open(self, path: Path) -> None:
        symbol, separator, interval = path.stem.rpartition("_")
        if not separator:
            raise CommandError(f"{path}: the name must be SYMBOL_INTERVAL.csv, such as EURUSD_1h.csv")
        try:
            self._own = ReplaySource(csv_file.read(path, interval))
        except (MarketError, CandleError) as error:
            raise CommandError(str(error)) from error
        self.symbols, self.interval = (parse_symbol(symbol),), interval
        self.email = f"replay-{symbol}-{interval}@photon.local".lower()


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (host.replace(".", "").isdigit() and ip_address(host).is_loopback) or host == "::1"
