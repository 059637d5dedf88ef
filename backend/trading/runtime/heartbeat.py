"""Heartbeats of the loop, of Celery's beat with a worker, and of the stream."""

import logging
from time import monotonic

from django.core.cache import cache
from django.utils import timezone
from redis.exceptions import RedisError

CELERY, LOOP, STREAM = "celery-beat", "loop-beat", "stream-beat"
REMEMBERED_SECONDS = 24 * 60 * 60
EVERY_SECONDS = 10.0
OLDEST_SECONDS = 60.0

logger = logging.getLogger(__name__)


def beat(name: str) -> None:
    cache.set(name, timezone.now().timestamp(), REMEMBERED_SECONDS)


def beat_age(*names: str) -> float | None:
    """Seconds since the newest of these; None when there was none for a day. Raises the cache's errors."""
    known = cache.get_many(names).values()
    return max(timezone.now().timestamp() - max(known), 0.0) if known else None


class Heartbeat:
    """Beats at most every EVERY_SECONDS. An outage of the cache is logged and not raised."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._next = 0.0

    def beat(self) -> None:
        if monotonic() < self._next:
            return
        self._next = monotonic() + EVERY_SECONDS
        try:
            beat(self.name)
        except (RedisError, OSError) as error:
            logger.warning("the heartbeat could not be stored: %s", error)
