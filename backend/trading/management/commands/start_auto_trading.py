"""`start_auto_trading`: starts the agents of a user."""

from typing import Any

from django.core.management import BaseCommand
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from trading.books.accounts import start_agents
from trading.management.accounts import account_of


class Command(BaseCommand):
    help = "Start the agents of a user. They work while ./photon up, run_agents or the Celery workers run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_embedded_database()
        account = account_of(options["email"])
        changed = start_agents(account)
        follows = ", ".join(account.follows.order_by("symbol").values_list("symbol__symbol", flat=True))
        self.stdout.write(f"{'Started' if changed else 'Running already'}; followed: {follows or 'no symbol yet'}.")
