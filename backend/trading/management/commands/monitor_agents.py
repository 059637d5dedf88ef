"""`monitor_agents`: the states of the agents of all users, or of one."""

import time
from typing import Any

from django.core.checks import Tags
from django.core.management import BaseCommand
from django.core.management.base import CommandParser
from django.db.models import F
from django.utils import timezone

from config.embedded import prepare_embedded_database
from trading.management.accounts import account_of
from trading.models import AgentState, Message

REFRESH_SECONDS = 1.0
MOST_ROWS = 60
COLUMNS = ("User", "Agent", "Status", "Last worked", "Problem")


class Command(BaseCommand):
    help = "Show the agents; --watch keeps the table fresh until Ctrl+C."
    requires_system_checks = [Tags.security]  # the others import every view

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", help="the agents of this user only")
        parser.add_argument("--watch", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        from rich.console import Console
        from rich.live import Live

        prepare_embedded_database()
        user = account_of(options["email"]).user_id if options["email"] else None
        console = Console(file=self.stdout)  # type: ignore[arg-type]  # it writes and flushes
        if not options["watch"]:
            console.print(table(user))
            return
        try:
            with Live(table(user), console=console, auto_refresh=False) as live:
                while True:
                    time.sleep(REFRESH_SECONDS)
                    live.update(table(user), refresh=True)
        except KeyboardInterrupt:
            return


def table(user: int | None) -> Any:
    from rich.table import Table

    waiting = Message.objects.filter(processed_at=None, parked_at=None).count()
    parked = Message.objects.filter(parked_at__isnull=False).count()
    shown = Table(*COLUMNS, caption=f"{waiting} messages wait, {parked} are parked")
    states = AgentState.objects.select_related("user").order_by(F("last_activity").desc(nulls_last=True), "pk")
    for state in states.filter(user=user)[:MOST_ROWS] if user else states[:MOST_ROWS]:
        shown.add_row(state.user.email, state.agent_type, state.status, _ago(state), state.error_message)
    return shown


def _ago(state: AgentState) -> str:
    if state.last_activity is None:
        return "never"
    return f"{(timezone.now() - state.last_activity).total_seconds():.0f} s ago"
