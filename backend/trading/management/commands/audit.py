"""`audit`: checks that the books of all accounts add up."""

from typing import Any

from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from trading.books.audit import differences
from trading.management.accounts import account_of
from trading.models import Account, Decision, Trade


class Command(BaseCommand):
    help = "Compute positions, cash and profit again from orders and trades, and print each difference."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", help="the accounts of this user only; messages are always checked")

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_embedded_database()
        accounts = Account.objects.all()
        if options["email"]:
            accounts = accounts.filter(user=account_of(options["email"]).user_id)
        found = 0
        for line in differences(accounts):
            self.stdout.write(line)
            found += 1
        if found:
            raise CommandError(f"{found} differences")
        decisions, trades = Decision.objects.filter(account__in=accounts), Trade.objects.filter(account__in=accounts)
        self.stdout.write(
            f"All books add up: {accounts.count()} accounts, {decisions.count()} decisions, {trades.count()} trades."
        )
