"""HTTP statuses, headers and network failures as market errors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests

from market.errors import (
    InvalidResponse,
    RateLimited,
    RegionBlocked,
    RequestRefused,
    SourceDown,
    SourceError,
    UnreadableResponse,
)

TOO_MANY_REQUESTS = frozenset({418, 429})
FORBIDDEN = frozenset({403, 451})
TIMED_OUT = 408
LONGEST_TEXT = 120


@contextmanager
def network_failures(source: str) -> Iterator[None]:
    """Raises failures of `requests` as failures of the source."""
    try:
        yield
    except requests.exceptions.ConnectTimeout as error:
        raise SourceDown(source, "no connection within the time allowed") from error
    except requests.exceptions.Timeout as error:
        raise SourceDown(source, "no answer within the time allowed") from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
        raise UnreadableResponse(source, "its response was cut off") from error
    except requests.exceptions.ConnectionError as error:
        raise SourceDown(source, connection_problem(str(error))) from error
    except requests.exceptions.RequestException as error:
        raise SourceDown(source, f"the request failed: {error}") from error


def connection_problem(text: str) -> str:
    """One line for a connection that could not be made."""
    words = text.lower()
    if "resolve" in words or "name or service" in words or "getaddrinfo" in words:
        return "its name cannot be resolved (DNS)"
    if "timed out" in words:
        return "no answer within the time allowed"
    return "it cannot be reached"


def failure_of_status(source: str, status: int, headers: Mapping[str, str], text: str) -> SourceError | None:
    """The error that an HTTP status stands for, or None for success."""
    said = f"HTTP {status}{_excerpt(text)}"
    if status in TOO_MANY_REQUESTS or (status in FORBIDDEN and "too frequent" in text.lower()):
        return RateLimited(source, f"rate limit exceeded: {said}", retry_after(headers))
    if status in FORBIDDEN:
        return RegionBlocked(source, f"it does not serve this region: {said}")
    if status >= 500 or status == TIMED_OUT:
        return SourceDown(source, f"server error: {said}")
    return RequestRefused(source, said) if status >= 300 else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of a Retry-After header, which may also be a date; None where there is no sensible one."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    if (until := _http_date(value)) is None:
        return None
    now = _http_date(headers.get("Date", "")) or datetime.now(UTC)
    return max((until - now).total_seconds(), 0.0)


def server_time(source: str, headers: Mapping[str, str]) -> datetime:
    """The source's clock by its Date header: whole seconds, rounded down."""
    time = _http_date(headers.get("Date", ""))
    if time is None:
        raise InvalidResponse(source, "its response has no Date header")
    return time


def _http_date(text: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return f", {line[:LONGEST_TEXT]!r}" if line and not line.startswith("<") else ""
