"""`run_agents`: the three agents in one process, without Celery and without the web site."""

from typing import Any

from django.core.checks import Tags
from django.core.management import BaseCommand
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from trading.live.feeds import LIVE
from trading.management.accounts import seconds
from trading.runtime.loop import Runner
from trading.runtime.pipeline import make_pipeline


class Command(BaseCommand):
    help = "Run the agents of all running accounts until Ctrl+C or SIGTERM."
    requires_system_checks = [Tags.security]  # the others import every view

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--speed", type=seconds, default=1.0, help="seconds for each candle (default %(default)s)")
        parser.add_argument("--live", action="store_true", help="no market is played from a file: all are live")

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_embedded_database()
        runner = Runner(options["speed"], make_pipeline(LIVE if options["live"] else None), say=self.say)
        runner.stop.on_signals()
        self.say("the agents are running; Ctrl+C ends them")
        runner.run()
        self.say("the agents have stopped")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
