"""Bybit, spot and linear contracts, through pybit. Candles come newest first, up to 1,000 at a time."""

import logging
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec
import pandas as pd
import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

from market.errors import (
    InvalidResponse,
    RateLimited,
    RegionBlocked,
    RequestRefused,
    SourceDown,
    SourceError,
    UnknownInstrument,
    UnreadableResponse,
)
from market.sources.base import Price, Prices, VenueTerms
from market.sources.book import Depth, depth_of
from market.sources.client import HttpSettings, converted, venue_symbol
from market.sources.http import failure_of_status, network_failures
from market.sources.rows import CandleRange, Row, checked_times, closed_rows, frame_of, milliseconds, utc_time

BASE_URL = "https://api.bybit.com"
PAGE = 1000
INTERVALS = {
    "1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "2h": "120", "4h": "240", "6h": "360",
    "12h": "720", "1d": "D", "1w": "W",
}  # fmt: skip

# Codes of https://bybit-exchange.github.io/docs/v5/error
SYMBOL_OR_PARAMETER_WRONG = 10001
TOO_MANY_REQUESTS = frozenset({10006, 10018})
SERVER_ERROR = frozenset({10000, 10016, 10019})
REGION_BLOCKED = frozenset({10009, 10010, 10024, 10027})

Category = Literal["spot", "linear"]
Listed = TypeVar("Listed")


class _Klines(msgspec.Struct):
    symbol: str
    list: list[tuple[str, str, str, str, str, str, str]]


class _BybitTicker(msgspec.Struct):
    symbol: str
    lastPrice: Decimal


class _Tickers(msgspec.Struct):
    list: list[_BybitTicker]


class _LotSize(msgspec.Struct):
    basePrecision: Decimal | None = None
    minOrderAmt: Decimal | None = None
    qtyStep: Decimal | None = None
    minNotionalValue: Decimal | None = None


class _PriceSteps(msgspec.Struct):
    tickSize: Decimal


class _BybitInstrument(msgspec.Struct):
    symbol: str
    baseCoin: str
    quoteCoin: str
    lotSizeFilter: _LotSize
    priceFilter: _PriceSteps


class _Instruments(msgspec.Struct):
    list: list[_BybitInstrument]


class _BybitBook(msgspec.Struct):
    s: str
    b: list[tuple[Decimal, Decimal]]
    a: list[tuple[Decimal, Decimal]]
    ts: int


class _Response(msgspec.Struct):
    time: int
    result: dict[str, Any]


class BybitSource:
    """`category` is spot, or linear for contracts settled in USDT or USDC."""

    prices = Prices.AS_TRADED
    intervals = frozenset(INTERVALS)

    def __init__(self, category: Category = "spot", base_url: str = BASE_URL, http: HttpSettings | None = None) -> None:
        self.name = "bybit" if category == "spot" else f"bybit:{category}"
        self._category = category
        self._http = http or HttpSettings()
        # Disables pybit's own retries, which sleep for seconds; an empty set would mean its defaults.
        self._pybit = HTTP(max_retries=1, retry_codes={-1}, logging_level=logging.WARNING)
        self._pybit.endpoint = base_url
        self._pybit.timeout = self._http.timeout
        self._pybit.client.hooks["response"].append(self._check_response)

    def earliest(self, interval: str, now: datetime) -> None:
        return None

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Page by page from the newest back.

        No request exceeds one page: which part of a longer period Bybit would leave out is not documented.
        """
        requested = CandleRange.of(self.name, self.intervals, interval, start, end)
        rows: list[Row] = []
        while requested.first < requested.end:
            asked = requested.newest(PAGE)
            page, closed = self._http.guard(partial(self._page, symbol, asked))
            if not page and asked.first > requested.first:
                # Usually the time before the listing: one request for all that is left.
                earlier = CandleRange(interval, requested.first, asked.first)
                page, closed = self._http.guard(partial(self._page, symbol, earlier))
            if not page:
                break
            rows = closed + rows
            requested = CandleRange(interval, requested.first, page[0][0])
        return frame_of(self.name, rows)

    def quote(self, symbol: str) -> Price:
        return self._http.guard(partial(self._quote, symbol))

    def terms(self, symbol: str) -> VenueTerms:
        return self._http.guard(partial(self._terms, symbol))

    def depth(self, symbol: str, levels: int) -> Depth:
        """The first levels of the order book, up to 200 in spot."""
        return self._http.guard(partial(self._depth, symbol, levels))

    def _page(self, symbol: str, requested: CandleRange) -> tuple[list[Row], list[Row]]:
        """The newest requested candles, and the closed ones of them; both oldest first."""
        last = requested.end - 1
        answer = self._ask(
            "get_kline", symbol, interval=INTERVALS[requested.interval], start=requested.first, end=last, limit=PAGE
        )
        klines = converted(self.name, answer.result, _Klines)
        self._check_symbol(klines.symbol, symbol)
        rows = [_row(self.name, kline) for kline in reversed(klines.list)]
        checked_times(self.name, [row[0] for row in rows], requested)
        closed = closed_rows(rows, requested, self._http.check_clock(self.name, utc_time(answer.time)))
        frame_of(self.name, closed)  # so that an invalid page is retried, and not the whole history
        return rows, closed

    def _quote(self, symbol: str) -> Price:
        answer = self._ask("get_tickers", symbol)
        ticker = self._only(converted(self.name, answer.result, _Tickers).list, symbol)
        self._check_symbol(ticker.symbol, symbol)
        if not (ticker.lastPrice.is_finite() and ticker.lastPrice > 0):
            raise InvalidResponse(self.name, f"its last price of {symbol} is {ticker.lastPrice}")
        return Price(self._http.check_clock(self.name, utc_time(answer.time)), float(ticker.lastPrice))

    def _terms(self, symbol: str) -> VenueTerms:
        answer = self._ask("get_instruments_info", symbol)
        found = self._only(converted(self.name, answer.result, _Instruments).list, symbol)
        self._check_symbol(found.symbol, symbol)
        lot = found.lotSizeFilter
        try:
            return VenueTerms(
                name=f"{found.baseCoin}/{found.quoteCoin}",
                price_tick=found.priceFilter.tickSize,
                lot_step=lot.qtyStep or lot.basePrecision,
                minimum_notional=lot.minNotionalValue or lot.minOrderAmt,
            )
        except ValueError as error:
            raise InvalidResponse(self.name, f"{symbol}: {error}") from error

    def _depth(self, symbol: str, levels: int) -> Depth:
        answer = self._ask("get_orderbook", symbol, limit=levels)
        book = converted(self.name, answer.result, _BybitBook)
        self._check_symbol(book.s, symbol)
        return depth_of(self.name, self._http.check_clock(self.name, utc_time(book.ts)), book.b, book.a, levels)

    def _ask(self, method: str, symbol: str, **parameters: str | int) -> _Response:
        ask = getattr(self._pybit, method)
        try:
            with network_failures(self.name):
                answer = ask(category=self._category, symbol=venue_symbol(symbol), **parameters)
        except InvalidRequestError as error:
            raise self._refusal(error, symbol) from error
        except FailedRequestError as error:
            raise UnreadableResponse(self.name, str(error.message)) from error
        return converted(self.name, answer, _Response)

    def _check_response(self, response: requests.Response, **_: object) -> None:
        """Before pybit parses it: pybit drops Retry-After and fails on JSON that is no object."""
        failure = failure_of_status(self.name, response.status_code, response.headers, response.text)
        if failure:
            raise failure
        try:
            body = response.json()
        except ValueError as error:
            problem = "its response cannot be parsed: no JSON, or cut off"
            raise UnreadableResponse(self.name, problem) from error
        if not isinstance(body, dict) or not isinstance(body.get("retCode"), int):
            raise InvalidResponse(self.name, "its response has an unknown form: no retCode")

    def _refusal(self, error: InvalidRequestError, symbol: str) -> SourceError:
        code, problem = error.status_code, f"{error.message} (retCode {error.status_code})"
        if code in TOO_MANY_REQUESTS:
            return RateLimited(self.name, problem, self._reset_seconds(error))
        if code in SERVER_ERROR:
            return SourceDown(self.name, problem)
        if code in REGION_BLOCKED:
            return RegionBlocked(self.name, problem)
        if code == SYMBOL_OR_PARAMETER_WRONG and "symbol" in str(error.message).lower():
            return UnknownInstrument(self.name, f"it has no {symbol}: {problem}")
        return RequestRefused(self.name, problem)

    def _reset_seconds(self, error: InvalidRequestError) -> float | None:
        reset = (error.resp_headers or {}).get("X-Bapi-Limit-Reset-Timestamp", "")
        if not (reset.isascii() and reset.isdigit()):
            return None
        return max(int(reset) - milliseconds(self._http.clock()), 0) / 1000

    def _only(self, found: list[Listed], symbol: str) -> Listed:
        # For an unknown name, spot returns success and an empty list.
        if not found:
            raise UnknownInstrument(self.name, f"it has no {symbol}")
        return found[0]

    def _check_symbol(self, named: str, symbol: str) -> None:
        if named != venue_symbol(symbol):
            raise InvalidResponse(self.name, f"asked for {symbol}, it answered with {named}")


def _row(source: str, kline: tuple[str, ...]) -> Row:
    time, open_, high, low, close, volume = kline[:6]
    if not (time.isascii() and time.isdigit()):
        raise InvalidResponse(source, f"it sent a candle of {time[:40]!r}, which is no time")
    return int(time), open_, high, low, close, volume
