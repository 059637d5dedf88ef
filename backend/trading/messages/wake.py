"""Wake-ups for the agents that run as Celery workers. A lost one loses nothing: the sweeps find every message."""

import logging
from time import monotonic

from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from trading.models import AgentType

logger = logging.getLogger(__name__)

# Older than this, a wake-up only repeats what a sweep has done long ago.
EXPIRES_SECONDS = 60
# While the broker is unavailable, no caller may wait for it once per message.
PAUSE_SECONDS = 5.0

WORK: dict[str, tuple[str, str]] = {
    AgentType.MARKET_MONITOR: ("trading.runtime.tasks.watch_markets", "market"),
    AgentType.DECISION_MAKER: ("trading.runtime.tasks.decide", "decisions"),
    AgentType.EXECUTION: ("trading.runtime.tasks.execute", "execution"),
}


class Waker:
    """Sends wake-ups after a commit. An unavailable broker is logged once and never raises."""

    def __init__(self) -> None:
        self._silent_until = 0.0
        self._away = False

    def __call__(self, recipient: str) -> None:
        if recipient not in WORK or monotonic() < self._silent_until:
            return
        task, queue = WORK[recipient]
        try:
            current_app.send_task(task, queue=queue, expires=EXPIRES_SECONDS, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            self._broker_is_away(error)
        else:
            self._away = False

    def _broker_is_away(self, error: Exception) -> None:
        self._silent_until = monotonic() + PAUSE_SECONDS
        if not self._away:
            self._away = True
            logger.warning("the broker is away, the sweeps will find what waits: %s", error)


wake_worker = Waker()
