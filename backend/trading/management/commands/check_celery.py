"""`check_celery`: checks the broker, the workers of every queue, and beat."""

from typing import Any

from celery import current_app
from django.conf import settings
from django.core.checks import Tags
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from trading.runtime.heartbeat import CELERY, OLDEST_SECONDS, beat_age

QUEUES = ("market", "decisions", "execution", "learning")
WAIT_SECONDS = 2.0


class Command(BaseCommand):
    help = "Check the broker, the workers of each queue and the age of the last beat; fails when one is missing."
    requires_system_checks = [Tags.security]  # the others import every view

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--beat", action="store_true", help="check the beat only")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.REDIS_URL:
            raise CommandError("REDIS_URL is not set: the agents run inside ./photon up or run_agents, without Celery")
        try:
            problems = self._beat() if options["beat"] else self._workers() + self._beat()
        except (OperationalError, RedisError, OSError) as error:
            raise CommandError(f"the broker cannot be reached: {error}") from error
        if problems:
            raise CommandError("; ".join(problems))

    def _workers(self) -> list[str]:
        answers = current_app.control.inspect(timeout=WAIT_SECONDS).active_queues() or {}
        self.stdout.write("broker     reachable")
        missing = []
        for queue in QUEUES:
            workers = sorted(name for name, queues in answers.items() if queue in {row["name"] for row in queues})
            self.stdout.write(f"{queue:10} {', '.join(workers) or 'no worker'}")
            missing += [] if workers else [f"no worker listens to the queue {queue}"]
        return missing

    def _beat(self) -> list[str]:
        age = beat_age(CELERY)
        if age is None:
            self.stdout.write("beat       never")
            return ["there has been no beat: is celery beat running?"]
        self.stdout.write(f"beat       {age:.0f} s ago")
        return [f"the last beat was {age:.0f} s ago"] if age > OLDEST_SECONDS else []
