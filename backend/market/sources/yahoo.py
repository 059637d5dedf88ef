"""Yahoo: stocks, indices, currencies, and coins in dollars. yfinance brings the answer, and it is read here.

Not yfinance's own tables: they sort, drop and mend in silence what must be refused.

Prices are what Yahoo calls raw: NOT adjusted for dividends, but split-adjusted, so that each split divides all prices
before it, again and for all time. `prices` says so, `actions` lists the splits; after a split the candles that were
stored before it are of another scale, and the series has to be fetched anew. Adjusted closes are never looked at.

A day is named by its date, at 00:00 UTC, and is closed when that date has ended in UTC. Other candles are named by the
moment they begin, 13:30 UTC for the first hour of New York's summer. Yahoo's 30-minute candles are at times those of
an hour: they are not served.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np
import pandas as pd
from curl_cffi.requests import Response

from market.errors import BadAnswer, GarbledAnswer, NotServed, RequestRefused, UnknownInstrument
from market.sources.base import Price, Prices, Terms
from market.sources.client import Line, decoded
from market.sources.http import failure_of_status, server_time
from market.sources.rows import MILLISECOND, Row, Wanted, closed_rows, frame_of, milliseconds, moment
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
# So that a request for all that is kept is still right when it arrives.
MARGIN = timedelta(hours=1)
SAME_GRANULARITY = {"60m": "1h"}
# How it writes an interval in which nobody traded.
NOTHING = (None, None, None, None)
NO_DATA_THEN = "data doesn't exist for startdate"


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


class _Dividend(msgspec.Struct):
    amount: float
    date: int


class _Split(msgspec.Struct):
    date: int
    numerator: float
    denominator: float


class _Events(msgspec.Struct):
    dividends: dict[str, _Dividend] = {}
    splits: dict[str, _Split] = {}


class _Result(msgspec.Struct):
    meta: _Meta
    indicators: _Indicators
    timestamp: list[int] = []
    events: _Events = msgspec.field(default_factory=_Events)


class _Error(msgspec.Struct):
    code: str
    description: str


class _Chart(msgspec.Struct):
    result: list[_Result] | None = None
    error: _Error | None = None


class _Answer(msgspec.Struct):
    chart: _Chart


class ActionKind(StrEnum):
    SPLIT = "split"
    DIVIDEND = "dividend"


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split (`value` new shares for one) or a dividend (`value` per share, in the currency of the prices)."""

    kind: ActionKind
    date: date
    value: float


class YahooSource:
    name = "yahoo"
    prices = Prices.SPLIT_ADJUSTED
    intervals = frozenset(PAGES)

    def __init__(self, base_url: str | None = None, line: Line | None = None) -> None:
        self._line = line or Line()
        self._data = YahooData(YahooSession(self.name, self._line.timeout, base_url))

    def earliest(self, interval: str, now: datetime) -> datetime | None:
        return now - KEPT[interval] + MARGIN if interval in KEPT else None

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        wanted = Wanted.of(self.name, self.intervals, interval, start, end)
        self._check_kept(wanted)
        rows: list[Row] = []
        while wanted.first < wanted.end:
            border = min(wanted.end, wanted.first + PAGES[interval] // MILLISECOND)
            rows += self._line.guard(partial(self._page, symbol, Wanted(interval, wanted.first, border)))
            wanted = Wanted(interval, border, wanted.end)
            if moment(border) > self._line.clock():
                break
        return frame_of(self.name, rows)

    def quote(self, symbol: str) -> Price:
        """The last price of the regular session, however long ago that was."""
        return self._line.guard(partial(self._quote, symbol))

    def terms(self, symbol: str) -> Terms:
        """Only the name: Yahoo sells nothing, so it states no steps."""
        meta = self._line.guard(partial(self._latest, symbol)).meta
        return Terms(name=meta.longName or meta.shortName)

    def actions(self, symbol: str, start: datetime, end: datetime) -> tuple[CorporateAction, ...]:
        """The splits and dividends of start <= date < end, in the order of time."""
        return self._line.guard(partial(self._actions, symbol, start, end))

    def _page(self, symbol: str, wanted: Wanted) -> list[Row]:
        daily = wanted.interval == "1d"
        # A day that is named 00:00 UTC lies somewhere around it, by the clock of its exchange.
        slack = DAY if daily else timedelta(0)
        result, now = self._ask(
            symbol, wanted.interval, period1=moment(wanted.first) - slack, period2=moment(wanted.end) + slack
        )
        if result is None:
            return []
        granularity = SAME_GRANULARITY.get(result.meta.dataGranularity, result.meta.dataGranularity)
        if granularity != wanted.interval:
            raise BadAnswer(self.name, f"asked for {wanted.interval} candles, it sent {granularity} ones")
        rows = self._rows(result, wanted)
        # It appends the latest price, whatever was asked for.
        rows = [row for row in closed_rows(rows, wanted, now) if wanted.first <= row[0] < wanted.end]
        frame_of(self.name, rows)  # a bad page is asked for again, and not the whole history
        return rows

    def _rows(self, result: _Result, wanted: Wanted) -> list[Row]:
        stamps = [stamp * 1000 for stamp in result.timestamp]
        if any(before >= after for before, after in pairwise(stamps)):
            raise BadAnswer(self.name, f"the times of {result.meta.symbol} go backwards or stand twice")
        quote = result.indicators.quote[0] if result.indicators.quote else _Quote()
        columns = (quote.open, quote.high, quote.low, quote.close, quote.volume)
        if any(len(column) != len(stamps) for column in columns):
            raise BadAnswer(self.name, f"it sent {len(stamps)} times of {result.meta.symbol}, and not as many prices")
        zone = self._zone(result.meta)
        names = [_day(stamp, zone) for stamp in stamps] if wanted.interval == "1d" else stamps
        rows = [self._row(*each) for each in zip(names, *columns, strict=True) if each[1:5] != NOTHING]
        return self._without_live_price(rows, wanted)

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
            raise BadAnswer(self.name, f"a price is missing in the candle of {moment(time):%Y-%m-%d %H:%M} UTC")
        return time, _as_written(open_), _as_written(high), _as_written(low), _as_written(close), volume or 0.0

    def _without_live_price(self, rows: list[Row], wanted: Wanted) -> list[Row]:
        """The last row may be no candle but the latest price, less than a candle after the one before."""
        if len(rows) > 1 and rows[-1][0] - rows[-2][0] < wanted.length:
            rows = rows[:-1]
        for before, after in pairwise(rows):
            if after[0] - before[0] < wanted.length:
                raise BadAnswer(self.name, f"its candles of {moment(after[0]):%Y-%m-%d %H:%M} UTC overlap")
        return rows

    def _quote(self, symbol: str) -> Price:
        meta = self._latest(symbol).meta
        if meta.regularMarketPrice is None or meta.regularMarketTime is None or not meta.regularMarketPrice > 0:
            raise BadAnswer(self.name, f"its last price of {symbol} is {meta.regularMarketPrice}")
        return Price(moment(meta.regularMarketTime * 1000), meta.regularMarketPrice)

    def _latest(self, symbol: str) -> _Result:
        result, _ = self._ask(symbol, "1d", range="1d")
        if result is None:
            raise UnknownInstrument(self.name, f"it has nothing of {symbol}")
        return result

    def _actions(self, symbol: str, start: datetime, end: datetime) -> tuple[CorporateAction, ...]:
        result, _ = self._ask(symbol, "1d", period1=start, period2=end)
        if result is None:
            return ()
        zone = self._zone(result.meta)
        splits = [
            CorporateAction(ActionKind.SPLIT, _date(each.date, zone), each.numerator / each.denominator)
            for each in result.events.splits.values()
        ]
        dividends = [
            CorporateAction(ActionKind.DIVIDEND, _date(each.date, zone), each.amount)
            for each in result.events.dividends.values()
        ]
        return tuple(sorted(splits + dividends, key=lambda action: (action.date, action.kind)))

    def _ask(self, symbol: str, interval: str, **period: datetime | str) -> tuple[_Result | None, datetime]:
        """The chart, or None where there is nothing of that time, and Yahoo's own time."""
        name = yahoo_symbol(symbol)
        times = {key: int(value.timestamp()) if isinstance(value, datetime) else value for key, value in period.items()}
        query = {**times, "interval": interval, "includePrePost": "false", "events": "div,splits"}
        with yahoo_failures(self.name):
            response = self._data.get(f"{CHART_URL}{name}", params=query, timeout=self._line.read_seconds)
        chart = self._chart(response).chart
        now = self._line.check_clock(self.name, server_time(self.name, Headers(dict(response.headers))))
        if chart.error:
            self._refuse(chart.error, symbol, response.status_code)
            return None, now
        if not chart.result:
            raise BadAnswer(self.name, f"it sent neither prices of {symbol} nor a reason")
        named = chart.result[0].meta.symbol
        if named.upper() != name:
            raise BadAnswer(self.name, f"asked for {name}, it answered with {named}")
        return chart.result[0], now

    def _chart(self, response: Response) -> _Answer:
        try:
            return decoded(self.name, response.content, _Answer)
        except (BadAnswer, GarbledAnswer):
            refusal = failure_of_status(self.name, response.status_code, {}, response.text)
            if refusal:  # in a form of its own, such as 401 for a crumb that it does not like
                raise refusal from None
            raise

    def _refuse(self, error: _Error, symbol: str, status: int) -> None:
        words = error.description.lower()
        if NO_DATA_THEN in words:
            return
        if status == 404 or error.code == "Not Found":
            raise UnknownInstrument(self.name, f"it has no {symbol}: {error.description}")
        if "requested range must be within" in words or "granularity data" in words:
            raise NotServed(self.name, error.description)
        raise RequestRefused(self.name, f"{error.code}: {error.description}")

    def _check_kept(self, wanted: Wanted) -> None:
        kept = KEPT.get(wanted.interval)
        if kept and moment(wanted.first) < self._line.clock() - kept:
            raise NotServed(self.name, f"it keeps {wanted.interval} candles for {kept.days} days only")

    def _zone(self, meta: _Meta) -> ZoneInfo:
        try:
            return ZoneInfo(meta.exchangeTimezoneName)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise BadAnswer(self.name, f"it names a time zone {meta.exchangeTimezoneName!r}") from error


def yahoo_symbol(symbol: str) -> str:
    """EURUSD is EURUSD=X at Yahoo, and BTCUSD is BTC-USD."""
    kind = kind_of(symbol)
    if kind is Kind.FOREX:
        return symbol.replace("-", "").removesuffix("=X") + "=X"
    quote = crypto_quote(symbol)
    return f"{symbol.removesuffix(quote).removesuffix('-')}-{quote}" if quote else symbol


def _day(stamp: int, zone: ZoneInfo) -> int:
    day = _date(stamp // 1000, zone)
    return milliseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _date(stamp: int, zone: ZoneInfo) -> date:
    return moment(stamp * 1000).astimezone(zone).date()


def _as_written(price: float) -> float:
    """Yahoo sends prices through single precision: 129.0399932861328 stands for 129.04."""
    single = np.float32(price)
    return float(str(single)) if single == price else price
