"""Any exchange that ccxt knows, spot only: `ccxt:kraken`.

ccxt sorts the candles of a response and ignores missing fields, so that a response in the wrong order is repaired and
one of an unknown form is empty. How much history there is differs by exchange; Kraken, for one, keeps 720 candles.
"""

from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import ccxt
import msgspec
import pandas as pd
import requests

from engine.candles import INTERVALS
from market.errors import (
    InvalidResponse,
    NotServed,
    RateLimited,
    RequestRefused,
    SourceDown,
    SourceError,
    UnknownInstrument,
    UnknownSource,
    UnreadableResponse,
)
from market.sources.base import Price, Prices, VenueTerms
from market.sources.client import HttpSettings, decoded
from market.sources.http import connection_problem, failure_of_status, retry_after, server_time
from market.sources.rows import CandleRange, Row, checked_times, closed_rows, frame_of, utc_time
from market.symbols import crypto_quote

PREFIX = "ccxt:"
USUAL_PAGE = 500
LONGEST_TEXT = 200


class CcxtSource:
    prices = Prices.AS_TRADED

    def __init__(self, exchange_id: str, base_url: str | None = None, http: HttpSettings | None = None) -> None:
        """Raises UnknownSource for a name that ccxt does not know."""
        if exchange_id not in ccxt.exchanges:
            raise UnknownSource(f"ccxt knows no exchange {exchange_id!r}")
        self.name = PREFIX + exchange_id
        self._http = http or HttpSettings()
        self._exchange: Any = getattr(ccxt, exchange_id)({"timeout": int(self._http.read_seconds * 1000)})
        self._exchange.session.hooks["response"].append(self._check_response)
        if base_url:
            self._exchange.urls["api"] = _moved(self._exchange.urls["api"], base_url)
        # Exchanges disagree on the first day of a week.
        self.intervals = frozenset(INTERVALS) & frozenset(self._exchange.timeframes or ()) - {"1w"}

    def earliest(self, interval: str, now: datetime) -> None:
        return None

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Page by page from the oldest on. Many exchanges serve a time window and no count: an empty one is skipped."""
        requested = CandleRange.of(self.name, self.intervals, interval, start, end)
        market = self._market(symbol)
        page_length = self._page_size(market) * requested.length
        rows: list[Row] = []
        while requested.first < requested.end:
            page, closed, now = self._http.guard(partial(self._page, market, requested))
            rows += closed
            following = page[-1][0] + requested.length if page else requested.first + page_length
            if len(closed) < len(page) or utc_time(following) > now:
                break
            requested = CandleRange(interval, following, requested.end)
        return frame_of(self.name, rows)

    def quote(self, symbol: str) -> Price:
        market = self._market(symbol)
        return self._http.guard(partial(self._quote, market))

    def terms(self, symbol: str) -> VenueTerms:
        market = self._market(symbol)
        try:
            return VenueTerms(
                name=market["symbol"],
                price_tick=self._step(market["precision"].get("price")),
                lot_step=self._step(market["precision"].get("amount")),
                minimum_notional=_exact((market["limits"].get("cost") or {}).get("min")),
            )
        except ValueError as error:
            raise InvalidResponse(self.name, f"{symbol}: {error}") from error

    def _market(self, symbol: str) -> dict[str, Any]:
        quote = crypto_quote(symbol)
        if not quote:
            raise UnknownInstrument(self.name, f"it has coins only, and {symbol} is not one")
        if not self._exchange.markets:
            self._http.guard(partial(self._ask, "load_markets"))
        pair = f"{symbol.removesuffix(quote).removesuffix('-')}/{quote}"
        if pair not in self._exchange.markets:
            raise UnknownInstrument(self.name, f"it has no {pair}")
        return self._exchange.markets[pair]

    def _page_size(self, market: dict[str, Any]) -> int:
        return self._exchange.feature_value(market["symbol"], "fetchOHLCV", "limit") or USUAL_PAGE

    def _page(self, market: dict[str, Any], requested: CandleRange) -> tuple[list[Row], list[Row], datetime]:
        """The oldest requested candles, the closed ones of them, and the time of the exchange."""
        size = self._page_size(market)
        answer = self._ask("fetch_ohlcv", market["symbol"], requested.interval, requested.first, size)
        rows: list[Row] = [tuple(row[:6]) for row in answer if row[0] is None or row[0] < requested.end]
        if any(row[0] is None for row in rows):
            raise InvalidResponse(self.name, f"it sent a candle of {market['symbol']} without a time")
        checked_times(self.name, [row[0] for row in rows], requested)
        now = self._server_time()
        closed = closed_rows(rows, requested, now)
        frame_of(self.name, closed)  # so that an invalid page is retried, and not the whole history
        return rows, closed, now

    def _quote(self, market: dict[str, Any]) -> Price:
        ticker = self._ask("fetch_ticker", market["symbol"])
        if ticker.get("symbol") != market["symbol"]:
            raise InvalidResponse(self.name, f"asked for {market['symbol']}, it answered with {ticker.get('symbol')}")
        price, time = ticker.get("last"), ticker.get("timestamp")
        if not price or not price > 0:
            raise InvalidResponse(self.name, f"its last price of {market['symbol']} is {price}")
        return Price(utc_time(time) if time else self._server_time(), float(price))

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._exchange, method)(*arguments)
        except ccxt.BadSymbol as error:
            raise UnknownInstrument(self.name, _short(error)) from error
        except (ccxt.DDoSProtection, ccxt.RateLimitExceeded) as error:
            headers = self._exchange.last_response_headers or {}
            raise RateLimited(self.name, f"rate limit exceeded: {_short(error)}", retry_after(headers)) from error
        except ccxt.RequestTimeout as error:
            raise SourceDown(self.name, "no answer within the time allowed") from error
        except ccxt.NotSupported as error:
            raise NotServed(self.name, _short(error)) from error
        except (ccxt.NetworkError, ccxt.ExchangeError) as error:
            raise self._failure(error) from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # ccxt reads responses without checking their form.
            raise InvalidResponse(self.name, f"its response has an unknown form: {_short(error)}") from error

    def _failure(self, error: Exception) -> SourceError:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
            return UnreadableResponse(self.name, "its response was cut off")
        if isinstance(cause, requests.exceptions.ConnectionError):
            return SourceDown(self.name, connection_problem(str(cause)))
        # ccxt reports a refused request as an unavailable exchange.
        refused = isinstance(cause, requests.exceptions.HTTPError) or not isinstance(error, ccxt.NetworkError)
        return (RequestRefused if refused else SourceDown)(self.name, _short(error))

    def _check_response(self, response: requests.Response, **_: object) -> None:
        """Before ccxt parses it: ccxt reports most failures as "not available" and ignores what is no JSON."""
        failure = failure_of_status(self.name, response.status_code, response.headers, response.text)
        # The reason of a refusal is in a form that only ccxt knows.
        if failure and not isinstance(failure, RequestRefused):
            raise failure
        if not failure:
            decoded(self.name, response.content, msgspec.Raw)

    def _server_time(self) -> datetime:
        time = server_time(self.name, self._exchange.last_response_headers or {})
        return self._http.check_clock(self.name, time)

    def _step(self, precision: float | None) -> Decimal | None:
        if precision is None or self._exchange.precisionMode == ccxt.TICK_SIZE:
            return _exact(precision)
        return Decimal(1).scaleb(-int(precision))


def _short(error: Exception) -> str:
    """Without the whole response, which ccxt repeats in its errors."""
    return str(error)[:LONGEST_TEXT]


def _exact(number: float | None) -> Decimal | None:
    return None if number is None else Decimal(repr(number))


def _moved(urls: Any, base_url: str) -> Any:
    """The same URLs at another host."""
    if isinstance(urls, dict):
        return {name: _moved(url, base_url) for name, url in urls.items()}
    base = urlsplit(base_url)
    return urlunsplit(urlsplit(urls)._replace(scheme=base.scheme, netloc=base.netloc))
