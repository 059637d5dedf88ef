"""What the process needs to work: the database, and the broker where one is set."""

import logging

from django.conf import settings
from django.db import Error, connection

from web.health import Finding, add_check

PATIENCE_SECONDS = 2
logger = logging.getLogger(__name__)


def add_checks() -> None:
    add_check("database", _database)
    if settings.REDIS_URL:
        add_check("broker", _broker)


def _database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        logger.warning("the database is not ready: %s", error)
        return Finding(ok=False, detail="cannot be used")
    return Finding(ok=True)


def _broker() -> Finding:
    import redis  # 0.4 s that a start without a broker need not spend

    options = {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
    try:
        with redis.Redis.from_url(settings.REDIS_URL, **options) as broker:
            broker.ping()
    except redis.RedisError as error:
        logger.warning("the broker is not ready: %s", error)
        return Finding(ok=False, detail="cannot be reached")
    return Finding(ok=True)
