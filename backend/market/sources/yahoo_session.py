"""Requests to Yahoo: yfinance's cookies and crumbs over a browser-like session, with its failures as market errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from curl_cffi.requests import Response, Session
from curl_cffi.requests import exceptions as curl
from yfinance.data import SingletonMeta, YfData
from yfinance.exceptions import YFException, YFRateLimitError

from market.errors import RateLimited, RequestRefused, SourceDown, UnreadableResponse
from market.sources.http import connection_problem, failure_of_status

CHART_PATH = "/v8/finance/chart/"
CHART_URL = f"https://query2.finance.yahoo.com{CHART_PATH}"


class YahooSession(Session):
    """Sends all requests to `base_url`, where one is given, instead of Yahoo's hosts."""

    def __init__(self, source: str, timeout: tuple[float, float], base_url: str | None = None) -> None:
        super().__init__(impersonate="chrome")
        self._source = source
        self._timeout = timeout
        self._base = urlsplit(base_url) if base_url else None

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Response:
        path = urlsplit(url).path
        if self._base:
            url = urlunsplit(urlsplit(url)._replace(scheme=self._base.scheme, netloc=self._base.netloc))
        response = super().request(method, url, *args, **options | {"timeout": self._timeout})  # type: ignore[arg-type]  # any method
        if path.startswith(CHART_PATH):
            self._refuse_status(response)
        return response

    def _refuse_status(self, response: Response) -> None:
        """Here, because yfinance reacts to every status with more requests, and drops Retry-After."""
        headers = {name: value or "" for name, value in response.headers.items()}
        failure = failure_of_status(self._source, response.status_code, Headers(headers), response.text)
        # A refusal may need another crumb, or carry a chart error: left to the caller.
        if failure and not isinstance(failure, RequestRefused):
            raise failure


class Headers(dict[str, str]):
    """By lower-case names, as HTTP/2 sends them."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in values.items()})

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]  # always text
        return super().get(name.lower(), default)


class _NotShared(SingletonMeta):
    """yfinance keeps one session for the whole process; ours is its own."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        return type.__call__(cls, *args, **options)


class YahooData(YfData, metaclass=_NotShared):
    """YfData without its cookie file, on which processes block each other."""

    def _load_cookie_curlCffi(self) -> bool:
        return False

    def _save_cookie_curlCffi(self) -> bool:
        return False


@contextmanager
def yahoo_failures(source: str) -> Iterator[None]:
    try:
        yield
    except YFRateLimitError as error:
        raise RateLimited(source, "rate limit exceeded") from error
    except curl.IncompleteRead as error:
        raise UnreadableResponse(source, "its response was cut off") from error
    except curl.RequestException as error:
        raise SourceDown(source, connection_problem(str(error))) from error
    except YFException as error:
        raise SourceDown(source, str(error)) from error
