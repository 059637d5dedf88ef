"""`restart_series`: fetches the stored candles of a market again, after a split has changed their scale."""

from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser
from django.utils import timezone

from config.embedded import prepare_embedded_database
from engine.candles import CandleError
from market.errors import MarketError
from market.ingestion.rescaling import restart
from market.models import Candle, Symbol
from market.sources import choice
from market.symbols import parse_symbol
from trading.models import Position


class Command(BaseCommand):
    help = "Fetch the stored candles of a market again, after a split. No account may hold the symbol."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", required=True)
        parser.add_argument("--interval", default=settings.DEFAULT_INTERVAL, help="default %(default)s")

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_embedded_database()
        try:
            self.restart(parse_symbol(options["symbol"]), options["interval"])
        except (MarketError, CandleError) as error:
            raise CommandError(str(error)) from error

    def restart(self, name: str, interval: str) -> None:
        stored = Candle.objects.filter(symbol__symbol=name, interval=interval).order_by("open_time").first()
        if stored is None:
            raise CommandError(f"no {interval} candles of {name} are stored")
        symbol: Symbol = stored.symbol
        if Position.objects.filter(symbol=symbol, closed_at=None).exists():
            # Quantity and entry price of a position are of before the split as well.
            raise CommandError(f"{name} is held: close its positions first")
        now = timezone.now()
        [source] = choice.sources_for(name, files=False)[:1]
        answer = choice.fetch(name, interval, stored.open_time, now, [source])
        count = restart(symbol, interval, answer)
        self.stdout.write(
            f"{name} {interval}: {count:,} candles of {source.name} in the place of those that were stored."
        )
