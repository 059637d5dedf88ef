"""`store_more`: more intervals of a symbol, and its order book, stored beside the traded interval."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from market.errors import SymbolError
from market.ingestion.extras import store_more
from market.services import add_symbol


class Command(BaseCommand):
    help = "Store more intervals of a symbol, and the first levels of its order book; they are not traded on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", required=True)
        parser.add_argument("--intervals", help='"15m,4h"; "" for none')
        parser.add_argument(
            "--depth", type=int, metavar="LEVELS", help="levels of the order book, up to 200; 0 for none"
        )

    def handle(self, *args: Any, **given: Any) -> None:
        prepare_embedded_database()
        listed = given["intervals"]
        intervals = None if listed is None else [name.strip() for name in listed.split(",") if name.strip()]
        try:
            symbol = store_more(add_symbol(given["symbol"]), intervals, given["depth"])
        except SymbolError as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        more = ", ".join(symbol.extra_intervals) or "none"
        self.stdout.write(f"{symbol}: further intervals {more}; order book {symbol.depth_levels or 'no'} levels.")
