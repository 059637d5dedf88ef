"""`stream_market`: candles from an exchange's stream to the agents, as soon as they close."""

from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser
from redis.exceptions import RedisError

from config.embedded import prepare_embedded_database
from market.sources.bybit_stream import INTERVALS
from trading.agents.pipeline import Pipeline
from trading.live.feeds import LIVE, make_pipeline
from trading.live.streaming import Relay
from trading.live.watched import Market
from trading.management.accounts import symbol_of
from trading.runtime.heartbeat import OLDEST_SECONDS, STREAM, beat_age
from trading.runtime.stop import Stop


class Command(BaseCommand):
    help = "Follow the streams of live markets and hand each closed candle to the agents, until Ctrl+C or SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", action="append", help="only this one, again for more; default: what is watched")
        parser.add_argument("--interval", choices=list(INTERVALS), help="with --symbol (default DEFAULT_INTERVAL)")
        parser.add_argument("--live", action="store_true", help="no market is played from a file: all are live")
        parser.add_argument("--check", action="store_true", help="only look whether it is at work; fails if not")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["interval"] and not options["symbol"]:
            raise CommandError("--interval needs --symbol: each account that trades has an interval of its own")
        if options["check"]:
            self.check_life()
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
        self.say("the stream has ended; the next start asks for what was missed")

    def check_life(self) -> None:
        try:
            age = beat_age(STREAM)
        except (RedisError, OSError) as error:
            raise CommandError(f"the cache cannot be reached: {error}") from error
        if age is None:
            raise CommandError("stream_market has given no sign of life")
        if age > OLDEST_SECONDS:
            raise CommandError(f"stream_market gave its last sign of life {age:.0f} s ago")
        self.say(f"stream_market is at work: its last sign of life was {age:.0f} s ago")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def streaming_pipeline(mode: str | None) -> Pipeline:
    """The Market Monitor of this process, which wakes the workers where there are workers."""
    if settings.REDIS_URL:
        from trading.runtime.tasks import pipeline_of  # Celery takes half a second to import

        return pipeline_of(mode)
    return make_pipeline(mode)
