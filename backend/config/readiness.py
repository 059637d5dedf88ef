"""Readiness checks: the database, the broker where one is set, running agents, and current market data."""

import logging

from django.conf import settings
from django.db import Error, connection
from django.utils import timezone

from web.health import Finding, add_check

PATIENCE_SECONDS = 2
logger = logging.getLogger(__name__)


def add_checks() -> None:
    add_check("database", _database)
    if settings.REDIS_URL:
        add_check("broker", _broker)
    add_check("beat", _beat)
    add_check("market_data", _market_data)
    add_check("sources", _sources)


def _database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        logger.warning("the database is not ready: %s", error)
        return Finding(ok=False, detail="cannot be used")
    return Finding(ok=True)


def _broker() -> Finding:
    import redis  # slow to import, and not needed without a broker

    options = {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
    try:
        with redis.Redis.from_url(settings.REDIS_URL, **options) as broker:
            broker.ping()
    except redis.RedisError as error:
        logger.warning("the broker is not ready: %s", error)
        return Finding(ok=False, detail="cannot be reached")
    return Finding(ok=True)


def _beat() -> Finding:
    """Celery's beat is required with a broker; without one, the loop is required where an account trades."""
    from redis import RedisError

    from trading.runtime.heartbeat import CELERY, LOOP, OLDEST_SECONDS, beat_age
    from trading.selectors.agents import somebody_trades

    try:
        age, wanted = beat_age(CELERY, LOOP), bool(settings.REDIS_URL) or somebody_trades()
    except (RedisError, OSError, Error) as error:
        logger.warning("the last beat is not known: %s", error)
        return Finding(ok=False, detail="is not known")
    if age is not None and age <= OLDEST_SECONDS:
        return Finding(ok=True, age_seconds=round(age, 1))
    if not wanted:
        return Finding(ok=True, detail="no account trades")
    if age is None:
        return Finding(ok=False, detail="there was none")
    return Finding(ok=False, detail="the last one is too old", age_seconds=round(age, 1))


def _market_data() -> Finding:
    """Fails only when all live markets are late; a single one is shown to its followers."""
    from trading.selectors.markets import (
        is_late,
        newest_candles,
        watched_markets,  # pandas, which a start need not wait for
    )

    now = timezone.now()
    try:
        newest = newest_candles(watched_markets())
    except Error as error:
        logger.warning("the age of the market data is not known: %s", error)
        return Finding(ok=False, detail="is not known")
    if not newest:
        return Finding(ok=True, detail="none yet")
    age = round(min(candle.age(now) for candle in newest.values()).total_seconds(), 1)
    live = {market: candle for market, candle in newest.items() if candle.is_live}
    if not live:
        return Finding(ok=True, detail="played from files", age_seconds=max(age, 0.0))
    late = [market for market, candle in live.items() if is_late(market, candle, now)]
    detail = f"{len(live) - len(late)} of {len(live)} live markets are on time"
    return Finding(ok=len(late) < len(live), detail=detail, age_seconds=max(age, 0.0))


def _sources() -> Finding:
    """Names paused sources and never fails: other sources replace them, and `market_data` shows what is missing."""
    from market.models import SourceState

    try:
        paused = SourceState.objects.exclude(state=SourceState.Condition.WORKING).values_list("name", flat=True)
        failing = ", ".join(paused)
    except Error as error:
        logger.warning("the states of the sources are not known: %s", error)
        return Finding(ok=False, detail="are not known")
    return Finding(ok=True, detail=f"failing: {failing}" if failing else "")
