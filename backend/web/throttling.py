"""Rate limits. The counts are in the cache, which all processes share."""

import ipaddress
import logging
from typing import Any

from django.http import HttpRequest
from rest_framework import throttling
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

logger = logging.getLogger(__name__)


def client_address(request: HttpRequest | Request) -> str | None:
    """The client's address; X-Forwarded-For is used only behind our own proxy (NUM_PROXIES)."""
    request = request if isinstance(request, Request) else Request(request)
    candidates = [BaseThrottle().get_ident(request), request.META.get("REMOTE_ADDR")]
    return next((str(address) for text in candidates if (address := _address(text))), None)


def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text or "")
    except ValueError:
        return None


def _outages() -> tuple[type[Exception], ...]:
    # Imported only after an exception: redis takes 0.4 s, and most commands never need it.
    from redis.exceptions import RedisError

    return RedisError, OSError


class FailOpenThrottle(throttling.SimpleRateThrottle):
    """Allows requests while the cache is down.

    Password guessing stays limited: the lock-out is counted in the database.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        try:
            return bool(super().allow_request(request, view))
        except _outages() as error:
            logger.error("rate limits are off, the cache is down: %s", error)
            return True

    def get_ident(self, request: Request) -> str:
        return client_address(request) or "unknown"


class UserThrottle(FailOpenThrottle, throttling.UserRateThrottle):
    """Per user, or per address without a login."""


class ScopedThrottle(FailOpenThrottle, throttling.ScopedRateThrottle):
    """The tighter rate of a view that sets `throttle_scope`."""
