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
    BadAnswer,
    GarbledAnswer,
    RateLimited,
    RegionBlocked,
    RequestRefused,
    SourceDown,
    SourceError,
    UnknownInstrument,
)
from market.sources.base import Price, Prices, Terms
from market.sources.book import Depth, depth_of
from market.sources.client import Line, converted, venue_symbol
from market.sources.http import failure_of_status, network_failures
from market.sources.rows import Row, Wanted, checked_times, closed_rows, frame_of, milliseconds, moment

BASE_URL = "https://api.bybit.com"
PAGE = 1000
INTERVALS = {
    "1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "2h": "120", "4h": "240", "6h": "360",
    "12h": "720", "1d": "D", "1w": "W",
}  # fmt: skip

# Codes of https://bybit-exchange.github.io/docs/v5/error
SYMBOL_OR_PARAMETER_WRONG = 10001
TOO_MANY_VISITS = frozenset({10006, 10018})
BROKEN_INSIDE = frozenset({10000, 10016, 10019})
NOT_HERE = frozenset({10009, 10010, 10024, 10027})

Category = Literal["spot", "linear"]
Listed = TypeVar("Listed")


class _Klines(msgspec.Struct):
    symbol: str
    list: list[tuple[str, str, str, str, str, str, str]]


class _Ticker(msgspec.Struct):
    symbol: str
    lastPrice: Decimal


class _Tickers(msgspec.Struct):
    list: list[_Ticker]


class _Lot(msgspec.Struct):
    basePrecision: Decimal | None = None
    minOrderAmt: Decimal | None = None
    qtyStep: Decimal | None = None
    minNotionalValue: Decimal | None = None


class _PriceSteps(msgspec.Struct):
    tickSize: Decimal


class _Instrument(msgspec.Struct):
    symbol: str
    baseCoin: str
    quoteCoin: str
    lotSizeFilter: _Lot
    priceFilter: _PriceSteps


class _Instruments(msgspec.Struct):
    list: list[_Instrument]


class _Book(msgspec.Struct):
    s: str
    b: list[tuple[Decimal, Decimal]]
    a: list[tuple[Decimal, Decimal]]
    ts: int


class _Answer(msgspec.Struct):
    time: int
    result: dict[str, Any]


class BybitSource:
    """`category` is spot, or linear for contracts settled in USDT or USDC."""

    prices = Prices.AS_TRADED
    intervals = frozenset(INTERVALS)

    def __init__(self, category: Category = "spot", base_url: str = BASE_URL, line: Line | None = None) -> None:
        self.name = "bybit" if category == "spot" else f"bybit:{category}"
        self._category = category
        self._line = line or Line()
        # No code is left to pybit's own retries, which sleep for seconds; an empty set would mean its usual ones.
        self._http = HTTP(max_retries=1, retry_codes={-1}, logging_level=logging.WARNING)
        self._http.endpoint = base_url
        self._http.timeout = self._line.timeout
        self._http.client.hooks["response"].append(self._check_response)

    def earliest(self, interval: str, now: datetime) -> None:
        return None

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Page by page from the newest back.

        No page asks for more than one answer holds: which part of a longer time Bybit leaves out is not said.
        """
        wanted = Wanted.of(self.name, self.intervals, interval, start, end)
        rows: list[Row] = []
        while wanted.first < wanted.end:
            asked = wanted.newest(PAGE)
            page, closed = self._line.guard(partial(self._page, symbol, asked))
            if not page and asked.first > wanted.first:
                # The time before the listing, as a rule: one request for all that is left of it.
                earlier = Wanted(interval, wanted.first, asked.first)
                page, closed = self._line.guard(partial(self._page, symbol, earlier))
            if not page:
                break
            rows = closed + rows
            wanted = Wanted(interval, wanted.first, page[0][0])
        return frame_of(self.name, rows)

    def quote(self, symbol: str) -> Price:
        return self._line.guard(partial(self._quote, symbol))

    def terms(self, symbol: str) -> Terms:
        return self._line.guard(partial(self._terms, symbol))

    def depth(self, symbol: str, levels: int) -> Depth:
        """The first levels of the order book, up to 200 in spot."""
        return self._line.guard(partial(self._depth, symbol, levels))

    def _page(self, symbol: str, wanted: Wanted) -> tuple[list[Row], list[Row]]:
        """The newest candles that were asked for, and the closed ones of them; both oldest first."""
        last = wanted.end - 1
        answer = self._ask(
            "get_kline", symbol, interval=INTERVALS[wanted.interval], start=wanted.first, end=last, limit=PAGE
        )
        klines = converted(self.name, answer.result, _Klines)
        self._check_symbol(klines.symbol, symbol)
        rows = [_row(self.name, kline) for kline in reversed(klines.list)]
        checked_times(self.name, [row[0] for row in rows], wanted)
        closed = closed_rows(rows, wanted, self._line.check_clock(self.name, moment(answer.time)))
        # Before the next page is asked for: a bad page is asked for again, and not the whole history.
        frame_of(self.name, closed)
        return rows, closed

    def _quote(self, symbol: str) -> Price:
        answer = self._ask("get_tickers", symbol)
        ticker = self._only(converted(self.name, answer.result, _Tickers).list, symbol)
        self._check_symbol(ticker.symbol, symbol)
        if not (ticker.lastPrice.is_finite() and ticker.lastPrice > 0):
            raise BadAnswer(self.name, f"its last price of {symbol} is {ticker.lastPrice}")
        return Price(self._line.check_clock(self.name, moment(answer.time)), float(ticker.lastPrice))

    def _terms(self, symbol: str) -> Terms:
        answer = self._ask("get_instruments_info", symbol)
        found = self._only(converted(self.name, answer.result, _Instruments).list, symbol)
        self._check_symbol(found.symbol, symbol)
        lot = found.lotSizeFilter
        try:
            return Terms(
                name=f"{found.baseCoin}/{found.quoteCoin}",
                price_tick=found.priceFilter.tickSize,
                lot_step=lot.qtyStep or lot.basePrecision,
                minimum_notional=lot.minNotionalValue or lot.minOrderAmt,
            )
        except ValueError as error:
            raise BadAnswer(self.name, f"{symbol}: {error}") from error

    def _depth(self, symbol: str, levels: int) -> Depth:
        answer = self._ask("get_orderbook", symbol, limit=levels)
        book = converted(self.name, answer.result, _Book)
        self._check_symbol(book.s, symbol)
        return depth_of(self.name, self._line.check_clock(self.name, moment(book.ts)), book.b, book.a, levels)

    def _ask(self, method: str, symbol: str, **parameters: str | int) -> _Answer:
        ask = getattr(self._http, method)
        try:
            with network_failures(self.name):
                answer = ask(category=self._category, symbol=venue_symbol(symbol), **parameters)
        except InvalidRequestError as error:
            raise self._refusal(error, symbol) from error
        except FailedRequestError as error:
            raise GarbledAnswer(self.name, str(error.message)) from error
        return converted(self.name, answer, _Answer)

    def _check_response(self, response: requests.Response, **_: object) -> None:
        """Before pybit looks at it: it forgets Retry-After and stumbles over JSON that is no object."""
        failure = failure_of_status(self.name, response.status_code, response.headers, response.text)
        if failure:
            raise failure
        try:
            body = response.json()
        except ValueError as error:
            problem = "its answer cannot be read: not, or not the whole of, a JSON text"
            raise GarbledAnswer(self.name, problem) from error
        if not isinstance(body, dict) or not isinstance(body.get("retCode"), int):
            raise BadAnswer(self.name, "its answer has another form than agreed: no retCode")

    def _refusal(self, error: InvalidRequestError, symbol: str) -> SourceError:
        code, said = error.status_code, f"{error.message} (retCode {error.status_code})"
        if code in TOO_MANY_VISITS:
            return RateLimited(self.name, said, self._reset_seconds(error))
        if code in BROKEN_INSIDE:
            return SourceDown(self.name, said)
        if code in NOT_HERE:
            return RegionBlocked(self.name, said)
        if code == SYMBOL_OR_PARAMETER_WRONG and "symbol" in str(error.message).lower():
            return UnknownInstrument(self.name, f"it has no {symbol}: {said}")
        return RequestRefused(self.name, said)

    def _reset_seconds(self, error: InvalidRequestError) -> float | None:
        reset = (error.resp_headers or {}).get("X-Bapi-Limit-Reset-Timestamp", "")
        if not (reset.isascii() and reset.isdigit()):
            return None
        return max(int(reset) - milliseconds(self._line.clock()), 0) / 1000

    def _only(self, found: list[Listed], symbol: str) -> Listed:
        # Spot answers a name that it does not know with success and an empty list.
        if not found:
            raise UnknownInstrument(self.name, f"it has no {symbol}")
        return found[0]

    def _check_symbol(self, named: str, symbol: str) -> None:
        if named != venue_symbol(symbol):
            raise BadAnswer(self.name, f"asked for {symbol}, it answered with {named}")


def _row(source: str, kline: tuple[str, ...]) -> Row:
    time, open_, high, low, close, volume = kline[:6]
    if not (time.isascii() and time.isdigit()):
        raise BadAnswer(source, f"it sent a candle of {time[:40]!r}, which is no time")
    return int(time), open_, high, low, close, volume
