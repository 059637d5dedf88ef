"""`add_default_symbols`: the watch list of a new user."""

from typing import Any

from django.core.management import BaseCommand
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from trading.books.accounts import add_default_symbols
from trading.management.accounts import account_of


class Command(BaseCommand):
    help = "Follow the default watch list; what is followed already stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_embedded_database()
        follows = add_default_symbols(account_of(options["email"]))
        self.stdout.write(f"{len(follows)} symbols are followed: {', '.join(row.symbol.symbol for row in follows)}.")
