"""`stream_market`: candles from an exchange's stream to the agents, as soon as they close."""

from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser
from redis.exceptions import RedisError

from config.embedded import prepare_embedded_database
from market.sources.bybit_stream import INTERVALS
from trading.live.feeds import LIVE
from trading.management.accounts import symbol_of
from trading.runtime.heartbeat import OLDEST_SECONDS, STREAM, beat_age
from trading.runtime.pipeline import Pipeline, make_pipeline
from trading.runtime.stop import Stop
from trading.runtime.streaming import Relay
from trading.selectors.markets import Market


class Command(BaseCommand):
    help = "Follow the streams of live markets and hand each closed candle to the agents, until Ctrl+C or SIGTERM."
    requires_system_checks = [Tags.security]  # the others import every view

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", action="append", help="only this one, repeatable; default: the watched markets")
        parser.add_argument("--interval", choices=list(INTERVALS), help="with --symbol (default DEFAULT_INTERVAL)")
        parser.add_argument("--live", action="store_true", help="no market is played from a file: all are live")
        parser.add_argument(
            "--check", action="store_true", help="only check whether another process follows the streams; fails if not"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["interval"] and not options["symbol"]:
            raise CommandError("--interval needs --symbol: each account that trades has an interval of its own")
        if options["check"]:
            self.check_heartbeat()
            return
        prepare_embedded_database()
        stop = Stop()
        stop.on_signals()
        pipeline = streaming_pipeline(LIVE if options["live"] or options["symbol"] else None)
        relay = Relay(pipeline, settings.BYBIT_STREAM_URL, stop=stop, say=self.say)
        if options["symbol"]:
            interval = options["interval"] or settings.DEFAULT_INTERVAL
            markets = [Market(symbol_of(symbol), interval) for symbol in options["symbol"]]
            relay.markets = lambda: markets
        self.say("the stream is followed; Ctrl+C ends it")
        relay.run()
        self.say("the stream has ended; the next start fetches the candles missed until then")

    def check_heartbeat(self) -> None:
        try:
            age = beat_age(STREAM)
        except (RedisError, OSError) as error:
            raise CommandError(f"the cache cannot be reached: {error}") from error
        if age is None:
            raise CommandError("stream_market has sent no heartbeat")
        if age > OLDEST_SECONDS:
            raise CommandError(f"the last heartbeat of stream_market was {age:.0f} s ago")
        self.say(f"stream_market is running: its last heartbeat was {age:.0f} s ago")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def streaming_pipeline(mode: str | None) -> Pipeline:
    """The Market Monitor of this process, which wakes the workers where there are workers."""
    if settings.REDIS_URL:
        from trading.runtime.tasks import pipeline_of  # Celery takes 0.1 s to import

        return pipeline_of(mode)
    return make_pipeline(mode)
