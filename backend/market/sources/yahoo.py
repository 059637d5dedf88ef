"""Yahoo: stocks, indices, currencies, and coins in dollars. yfinance makes the requests; responses are parsed here.

yfinance's own tables are not used: they silently sort, drop and repair what must be refused.

Prices are what Yahoo calls raw: NOT adjusted for dividends, but split-adjusted: each split divides all prices before
it. After a split the stored candles are of another scale, and the series has to be fetched anew. Adjusted closes are
not used.

A day is named by its date, at 00:00 UTC, and is closed when that date has ended in UTC. Other candles are named by the
time they begin, 13:30 UTC for the first hour of New York's summer. Yahoo's 30-minute candles are at times hourly ones:
they are not served.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np
import pandas as pd
from curl_cffi.requests import Response

from market.errors import InvalidResponse, NotServed, RequestRefused, UnknownInstrument, UnreadableResponse
from market.sources.base import Price, Prices, VenueTerms
from market.sources.client import HttpSettings, decoded
from market.sources.http import failure_of_status, server_time
from market.sources.rows import MILLISECOND, CandleRange, Row, closed_rows, frame_of, milliseconds, utc_time
from market.sources.yahoo_session import CHART_URL, Headers, YahooData, YahooSession, yahoo_failures
from market.symbols import Kind, crypto_quote, kind_of

DAY = timedelta(days=1)
# How far back Yahoo keeps an interval, and how much of it one request may ask for.
KEPT = {"1m": timedelta(days=30), "5m": timedelta(days=60), "15m": timedelta(days=60), "1h": timedelta(days=730)}
PAGES = {
    "1m": timedelta(days=7),
    "5m": timedelta(days=30),
    "15m": timedelta(days=30),
    "1h": timedelta(days=180),
    "1d": timedelta(days=3650),
}
# So that a request for all that is kept is still in range when it arrives.
MARGIN = timedelta(hours=1)
SAME_GRANULARITY = {"60m": "1h"}
# An interval without trades.
NOTHING = (None, None, None, None)
NO_DATA = "data doesn't exist for startdate"


class _Meta(msgspec.Struct):
    symbol: str
    exchangeTimezoneName: str
    dataGranularity: str
    regularMarketPrice: float | None = None
    regularMarketTime: int | None = None
    longName: str = ""
    shortName: str = ""


Numbers = list[float | None]


class _Quote(msgspec.Struct):
    open: Numbers = []
    high: Numbers = []
    low: Numbers = []
    close: Numbers = []
    volume: Numbers = []


class _Indicators(msgspec.Struct):
    quote: list[_Quote]


class _Result(msgspec.Struct):
    meta: _Meta
    indicators: _Indicators
    timestamp: list[int] = []


class _Error(msgspec.Struct):
    code: str
    description: str


class _Chart(msgspec.Struct):
    result: list[_Result] | None = None
    error: _Error | None = None


class _ChartResponse(msgspec.Struct):
    chart: _Chart


class YahooSource:
    name = "yahoo"
    prices = Prices.SPLIT_ADJUSTED
    intervals = frozenset(PAGES)

    def __init__(self, base_url: str | None = None, http: HttpSettings | None = None) -> None:
        self._http = http or HttpSettings()
        self._data = YahooData(YahooSession(self.name, self._http.timeout, base_url))

    def earliest(self, interval: str, now: datetime) -> datetime | None:
        return now - KEPT[interval] + MARGIN if interval in KEPT else None

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        requested = CandleRange.of(self.name, self.intervals, interval, start, end)
        self._check_kept(requested)
        rows: list[Row] = []
        while requested.first < requested.end:
            border = min(requested.end, requested.first + PAGES[interval] // MILLISECOND)
            rows += self._http.guard(partial(self._page, symbol, CandleRange(interval, requested.first, border)))
            requested = CandleRange(interval, border, requested.end)
            if utc_time(border) > self._http.clock():
                break
        return frame_of(self.name, rows)

    def quote(self, symbol: str) -> Price:
        """The last price of the regular session, however long ago that was."""
        return self._http.guard(partial(self._quote, symbol))

    def terms(self, symbol: str) -> VenueTerms:
        """Only the name: Yahoo is no venue, so it states no steps."""
        meta = self._http.guard(partial(self._latest, symbol)).meta
        return VenueTerms(name=meta.longName or meta.shortName)

    def _page(self, symbol: str, requested: CandleRange) -> list[Row]:
        daily = requested.interval == "1d"
        # By the clock of its exchange, a day named 00:00 UTC begins up to a day before or after.
        slack = DAY if daily else timedelta(0)
        result, now = self._ask(
            symbol,
            requested.interval,
            period1=utc_time(requested.first) - slack,
            period2=utc_time(requested.end) + slack,
        )
        if result is None:
            return []
        granularity = SAME_GRANULARITY.get(result.meta.dataGranularity, result.meta.dataGranularity)
        if granularity != requested.interval:
            raise InvalidResponse(self.name, f"asked for {requested.interval} candles, it sent {granularity} ones")
        rows = self._rows(result, requested)
        # It appends the latest price to any period.
        rows = [row for row in closed_rows(rows, requested, now) if requested.first <= row[0] < requested.end]
        frame_of(self.name, rows)  # so that an invalid page is retried, and not the whole history
        return rows

    def _rows(self, result: _Result, requested: CandleRange) -> list[Row]:
        stamps = [stamp * 1000 for stamp in result.timestamp]
        if any(before >= after for before, after in pairwise(stamps)):
            raise InvalidResponse(self.name, f"the times of {result.meta.symbol} go backwards or are duplicates")
        quote = result.indicators.quote[0] if result.indicators.quote else _Quote()
        columns = (quote.open, quote.high, quote.low, quote.close, quote.volume)
        if any(len(column) != len(stamps) for column in columns):
            raise InvalidResponse(
                self.name, f"it sent {len(stamps)} times of {result.meta.symbol}, and not as many prices"
            )
        zone = self._zone(result.meta)
        names = [_day(stamp, zone) for stamp in stamps] if requested.interval == "1d" else stamps
        rows = [self._row(*each) for each in zip(names, *columns, strict=True) if each[1:5] != NOTHING]
        return self._without_live_price(rows, requested)

    def _row(
        self,
        time: int,
        open_: float | None,
        high: float | None,
        low: float | None,
        close: float | None,
        volume: float | None,
    ) -> Row:
        if open_ is None or high is None or low is None or close is None:
            raise InvalidResponse(self.name, f"a price is missing in the candle of {utc_time(time):%Y-%m-%d %H:%M} UTC")
        return time, _as_written(open_), _as_written(high), _as_written(low), _as_written(close), volume or 0.0

    def _without_live_price(self, rows: list[Row], requested: CandleRange) -> list[Row]:
        """The last row may be the latest price instead of a candle: less than an interval after the one before."""
        if len(rows) > 1 and rows[-1][0] - rows[-2][0] < requested.length:
            rows = rows[:-1]
        for before, after in pairwise(rows):
            if after[0] - before[0] < requested.length:
                raise InvalidResponse(self.name, f"its candles of {utc_time(after[0]):%Y-%m-%d %H:%M} UTC overlap")
        return rows

    def _quote(self, symbol: str) -> Price:
        meta = self._latest(symbol).meta
        if meta.regularMarketPrice is None or meta.regularMarketTime is None or not meta.regularMarketPrice > 0:
            raise InvalidResponse(self.name, f"its last price of {symbol} is {meta.regularMarketPrice}")
        return Price(utc_time(meta.regularMarketTime * 1000), meta.regularMarketPrice)

    def _latest(self, symbol: str) -> _Result:
        result, _ = self._ask(symbol, "1d", range="1d")
        if result is None:
            raise UnknownInstrument(self.name, f"it has no data of {symbol}")
        return result

    def _ask(self, symbol: str, interval: str, **period: datetime | str) -> tuple[_Result | None, datetime]:
        """The chart, or None where there is nothing of that period, and the time by Yahoo's clock."""
        name = yahoo_symbol(symbol)
        times = {key: int(value.timestamp()) if isinstance(value, datetime) else value for key, value in period.items()}
        query = {**times, "interval": interval, "includePrePost": "false"}
        with yahoo_failures(self.name):
            response = self._data.get(f"{CHART_URL}{name}", params=query, timeout=self._http.read_seconds)
        chart = self._chart(response).chart
        now = self._http.check_clock(self.name, server_time(self.name, Headers(dict(response.headers))))
        if chart.error:
            self._refuse(chart.error, symbol, response.status_code)
            return None, now
        if not chart.result:
            raise InvalidResponse(self.name, f"it sent neither prices of {symbol} nor a reason")
        named = chart.result[0].meta.symbol
        if named.upper() != name:
            raise InvalidResponse(self.name, f"asked for {name}, it answered with {named}")
        return chart.result[0], now

    def _chart(self, response: Response) -> _ChartResponse:
        try:
            return decoded(self.name, response.content, _ChartResponse)
        except (InvalidResponse, UnreadableResponse):
            failure = failure_of_status(self.name, response.status_code, {}, response.text)
            if failure:  # without a chart, such as 401 for an invalid crumb
                raise failure from None
            raise

    def _refuse(self, error: _Error, symbol: str, status: int) -> None:
        description = error.description.lower()
        if NO_DATA in description:
            return
        if status == 404 or error.code == "Not Found":
            raise UnknownInstrument(self.name, f"it has no {symbol}: {error.description}")
        if "requested range must be within" in description or "granularity data" in description:
            raise NotServed(self.name, error.description)
        raise RequestRefused(self.name, f"{error.code}: {error.description}")

    def _check_kept(self, requested: CandleRange) -> None:
        kept = KEPT.get(requested.interval)
        if kept and utc_time(requested.first) < self._http.clock() - kept:
            raise NotServed(self.name, f"it keeps {requested.interval} candles for {kept.days} days only")

    def _zone(self, meta: _Meta) -> ZoneInfo:
        try:
            return ZoneInfo(meta.exchangeTimezoneName)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise InvalidResponse(self.name, f"it names a time zone {meta.exchangeTimezoneName!r}") from error


def yahoo_symbol(symbol: str) -> str:
    """EURUSD is EURUSD=X at Yahoo, and BTCUSD is BTC-USD."""
    kind = kind_of(symbol)
    if kind is Kind.FOREX:
        return symbol.replace("-", "").removesuffix("=X") + "=X"
    quote = crypto_quote(symbol)
    return f"{symbol.removesuffix(quote).removesuffix('-')}-{quote}" if quote else symbol


def _day(stamp: int, zone: ZoneInfo) -> int:
    """Milliseconds of 00:00 UTC of the local date of a stamp in milliseconds."""
    day = utc_time(stamp).astimezone(zone)
    return milliseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _as_written(price: float) -> float:
    """Yahoo rounds prices to single precision: 129.0399932861328 stands for 129.04."""
    single = np.float32(price)
    return float(str(single)) if single == price else price
