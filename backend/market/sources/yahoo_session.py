"""The way to Yahoo: yfinance's cookies and crumbs over a browser-like session, with its failures told as ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from curl_cffi.requests import Response, Session
from curl_cffi.requests import exceptions as curl
from yfinance.data import SingletonMeta, YfData
from yfinance.exceptions import YFException, YFRateLimitError

from market.errors import GarbledAnswer, RateLimited, RequestRefused, SourceDown
from market.sources.http import connection_problem, failure_of_status

CHART_PATH = "/v8/finance/chart/"
CHART_URL = f"https://query2.finance.yahoo.com{CHART_PATH}"


class YahooSession(Session):
    """Asks `base_url`, where one is given, in the place of all of Yahoo's hosts."""

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
        """Here, because yfinance answers every status with more requests, and forgets Retry-After."""
        headers = {name: value or "" for name, value in response.headers.items()}
        failure = failure_of_status(self._source, response.status_code, Headers(headers), response.text)
        # What it refuses may be cured by another crumb, or means something: the caller reads it.
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
    """YfData without its cookie file, which processes lock each other out of."""

    def _load_cookie_curlCffi(self) -> bool:
        return False

    def _save_cookie_curlCffi(self) -> bool:
        return False


@contextmanager
def yahoo_failures(source: str) -> Iterator[None]:
    try:
        yield
    except YFRateLimitError as error:
        raise RateLimited(source, "asked too often") from error
    except curl.IncompleteRead as error:
        raise GarbledAnswer(source, "its answer was cut off") from error
    except curl.RequestException as error:
        raise SourceDown(source, connection_problem(str(error))) from error
    except YFException as error:
        raise SourceDown(source, str(error)) from error
