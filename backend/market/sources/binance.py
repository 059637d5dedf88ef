"""Binance spot through its public REST interface. Candles come oldest first, up to 1,000 at a time."""

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import msgspec
import pandas as pd
import requests

from market.errors import InvalidResponse, RequestRefused, UnknownInstrument
from market.sources.base import Price, Prices, VenueTerms
from market.sources.book import Depth, depth_of
from market.sources.client import HttpSettings, Value, decoded, venue_symbol
from market.sources.http import failure_of_status, network_failures, server_time
from market.sources.rows import CandleRange, Row, checked_times, closed_rows, frame_of, utc_time

BASE_URL = "https://api.binance.com"
PAGE = 1000
INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w")

INVALID_SYMBOL = frozenset({-1121, -1100})
# The weight of a request, of 6,000 a minute (https://developers.binance.com/docs/binance-spot-api-docs/rest-api).
KLINES_WEIGHT, TICKER_WEIGHT, EXCHANGE_INFO_WEIGHT, DEPTH_WEIGHT = 2, 2, 20, 25


class _Refusal(msgspec.Struct):
    code: int
    msg: str


class _BinanceTicker(msgspec.Struct):
    symbol: str
    lastPrice: Decimal
    closeTime: int


class _Filter(msgspec.Struct):
    filterType: str
    tickSize: Decimal | None = None
    stepSize: Decimal | None = None
    minNotional: Decimal | None = None


class _BinanceInstrument(msgspec.Struct):
    symbol: str
    baseAsset: str
    quoteAsset: str
    filters: list[_Filter]


class _BinanceBook(msgspec.Struct):
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


class _ExchangeInfo(msgspec.Struct):
    symbols: list[_BinanceInstrument]


_Kline = tuple[int, str, str, str, str, str, int, str, int, str, str, str]


class BinanceSource:
    name = "binance"
    prices = Prices.AS_TRADED
    intervals = frozenset(INTERVALS)

    def __init__(self, base_url: str = BASE_URL, http: HttpSettings | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._http = http or HttpSettings()
        self._session = requests.Session()

    def earliest(self, interval: str, now: datetime) -> None:
        return None

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Page by page from the oldest on; Binance itself skips the time before the listing."""
        requested = CandleRange.of(self.name, self.intervals, interval, start, end)
        rows: list[Row] = []
        while requested.first < requested.end:
            page, closed = self._http.guard(partial(self._page, symbol, requested), KLINES_WEIGHT)
            rows += closed
            # Nothing follows the candle that is still forming, whatever `end` says.
            if not page or len(closed) < len(page):
                break
            requested = CandleRange(interval, page[-1][0] + requested.length, requested.end)
        return frame_of(self.name, rows)

    def quote(self, symbol: str) -> Price:
        return self._http.guard(partial(self._quote, symbol), TICKER_WEIGHT)

    def terms(self, symbol: str) -> VenueTerms:
        return self._http.guard(partial(self._terms, symbol), EXCHANGE_INFO_WEIGHT)

    def depth(self, symbol: str, levels: int) -> Depth:
        """The first levels of the order book, with the time of the response: the book itself has none."""
        return self._http.guard(partial(self._depth, symbol, levels), DEPTH_WEIGHT)

    def _page(self, symbol: str, requested: CandleRange) -> tuple[list[Row], list[Row]]:
        """The oldest requested candles, and the closed ones of them."""
        klines, now = self._ask(
            "klines",
            list[_Kline],
            symbol,
            interval=requested.interval,
            startTime=requested.first,
            endTime=requested.end - 1,
            limit=PAGE,
        )
        rows: list[Row] = [kline[:6] for kline in klines]
        checked_times(self.name, [row[0] for row in rows], requested)
        # Binance does not name the symbol: only the length shows which series a row belongs to.
        if any(kline[6] != kline[0] + requested.length - 1 for kline in klines):
            raise InvalidResponse(self.name, f"asked for {requested.interval} candles, it sent others")
        closed = closed_rows(rows, requested, now)
        frame_of(self.name, closed)  # so that an invalid page is retried, and not the whole history
        return rows, closed

    def _quote(self, symbol: str) -> Price:
        ticker, now = self._ask("ticker/24hr", _BinanceTicker, symbol)
        self._check_symbol(ticker.symbol, symbol)
        if not (ticker.lastPrice.is_finite() and ticker.lastPrice > 0):
            raise InvalidResponse(self.name, f"its last price of {symbol} is {ticker.lastPrice}")
        # A quote from the future would stay fresh for ever.
        return Price(min(utc_time(ticker.closeTime), now + timedelta(seconds=1)), float(ticker.lastPrice))

    def _terms(self, symbol: str) -> VenueTerms:
        info, _ = self._ask("exchangeInfo", _ExchangeInfo, symbol)
        if not info.symbols:
            raise UnknownInstrument(self.name, f"it has no {symbol}")
        found = info.symbols[0]
        self._check_symbol(found.symbol, symbol)
        filters = {each.filterType: each for each in found.filters}
        # NOTIONAL took the place of MIN_NOTIONAL in 2023.
        smallest = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
        try:
            return VenueTerms(
                name=f"{found.baseAsset}/{found.quoteAsset}",
                price_tick=filters["PRICE_FILTER"].tickSize,
                lot_step=filters["LOT_SIZE"].stepSize,
                minimum_notional=smallest.minNotional if smallest else None,
            )
        except KeyError as error:
            raise InvalidResponse(self.name, f"it states no {error.args[0]} of {symbol}") from error
        except ValueError as error:
            raise InvalidResponse(self.name, f"{symbol}: {error}") from error

    def _depth(self, symbol: str, levels: int) -> Depth:
        book, now = self._ask("depth", _BinanceBook, symbol, limit=levels)
        return depth_of(self.name, now, book.bids, book.asks, levels)

    def _ask(self, path: str, shape: type[Value], symbol: str, **parameters: str | int) -> tuple[Value, datetime]:
        """The response, and its time by the clock of Binance."""
        query = {"symbol": venue_symbol(symbol), **parameters}
        with network_failures(self.name):
            response = self._session.get(f"{self._base_url}/api/v3/{path}", params=query, timeout=self._http.timeout)
        failure = failure_of_status(self.name, response.status_code, response.headers, response.text)
        if isinstance(failure, RequestRefused):
            failure = self._refusal(response.content, symbol) or failure
        if failure:
            raise failure
        value = decoded(self.name, response.content, shape)
        return value, self._http.check_clock(self.name, server_time(self.name, response.headers))

    def _refusal(self, body: bytes, symbol: str) -> UnknownInstrument | None:
        refusal = decoded(self.name, body, _Refusal)
        if refusal.code not in INVALID_SYMBOL:
            return None
        return UnknownInstrument(self.name, f"it has no {symbol}: {refusal.msg} (code {refusal.code})")

    def _check_symbol(self, named: str, symbol: str) -> None:
        if named != venue_symbol(symbol):
            raise InvalidResponse(self.name, f"asked for {symbol}, it answered with {named}")
