"""Yahoo's chart interface as yfinance uses it: a cookie, a crumb, then /v8/finance/chart/NAME.

It has no documentation. The bodies have the form of recorded ones; the refusals are those quoted in yfinance's issues
356, 636 and 1389.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.market.servers.faults import Fault, Reply
from tests.market.servers.http import Request, Server, as_json
from tests.market.servers.series import Bar, milliseconds, moment

COOKIE, CRUMB = "A3=d=AQABBK&S=AQAAAk", "Zq7p.Crumb0"
INTERVALS = ("1m", "2m", "5m", "15m", "30m", "60m", "1h", "1d", "5d", "1wk", "1mo")
KEPT_DAYS = {"1m": 30, "5m": 60, "15m": 60, "1h": 730}
DAY = 86_400_000


@dataclass
class Listing:
    """Where a symbol is traded: days begin at `opens` of the zone. Bars of days are named 00:00 UTC of their date."""

    zone: str = "UTC"
    opens: time = time(0)
    currency: str = "USD"

    def stamp(self, bar: Bar, interval: str) -> int:
        if interval != "1d":
            return bar.time // 1000
        day = moment(bar.time).date()
        return int(datetime.combine(day, self.opens, ZoneInfo(self.zone)).timestamp())


class YahooServer(Server):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.listings: dict[str, Listing] = {}
        # The latest price as one more row, as Yahoo likes to send it.
        self.appends_live_price = False
        self.crumb = CRUMB

    def answer(self, request: Request, fault: Fault) -> Reply:
        if request.path in ("/", ""):
            return Reply(404, b"", {"Set-Cookie": f"{COOKIE}; Path=/; Max-Age=31557600"})
        if "mozilla" not in request.headers.get("user-agent", "").lower():
            return self.too_many()
        has_cookie = COOKIE in request.headers.get("cookie", "")
        if request.path == "/v1/test/getcrumb":
            return Reply(200, self.crumb.encode(), {"Content-Type": "text/plain"}) if has_cookie else _unauthorized()
        if not request.path.startswith("/v8/finance/chart/"):
            return Reply(404, b"<html>404</html>")
        if not has_cookie or request.query.get("crumb") != self.crumb:
            return _unauthorized()
        return self._chart(request.path.rpartition("/")[2], request, fault)

    def _chart(self, symbol: str, request: Request, fault: Fault) -> Reply:
        interval = request.query.get("interval", "")
        if not self.knows(symbol):
            return _refused(404, "Not Found", "No data found, symbol may be delisted")
        if interval not in INTERVALS:
            return _refused(422, "Unprocessable Entity", f"Invalid input - interval={interval} is not supported.")
        if request.query.get("range") == "1d":
            first, last = (self.now - DAY) // 1000, self.now // 1000 + 1
        else:
            first, last = int(request.query["period1"]), int(request.query["period2"])
        refusal = self._refusal(interval, first, last)
        if refusal:
            return refusal
        return as_json(200, {"chart": {"result": [self._result(symbol, interval, first, last, fault)], "error": None}})

    def _refusal(self, interval: str, first: int, last: int) -> Reply | None:
        times = f"{interval} data not available for startTime={first} and endTime={last}."
        if first > last:
            return _refused(400, "Bad Request", "Invalid input - start date cannot be after end date.")
        if interval == "1m" and last - first > 8 * DAY // 1000:
            allowed = "Only 8 days worth of 1m granularity data are allowed to be fetched per request."
            return _refused(422, "Unprocessable Entity", f"{times} {allowed}")
        kept = KEPT_DAYS.get(interval)
        if kept and first < (self.now - kept * DAY) // 1000:
            return _refused(
                422, "Unprocessable Entity", f"{times} The requested range must be within the last {kept} days."
            )
        return None

    def _result(self, symbol: str, interval: str, first: int, last: int, fault: Fault) -> dict[str, Any]:
        listing = self.listings.get(symbol, Listing())
        series = self.series.get((symbol, interval))
        # A day's name lies up to a day from the moment it begins.
        near = series.shown((first - 86_400) * 1000, (last + 86_400) * 1000, self.now) if series else []
        bars = fault.bars([bar for bar in near if first <= listing.stamp(bar, interval) < last])
        stamps = [listing.stamp(bar, interval) for bar in bars]
        if self.appends_live_price and bars:
            bars, stamps = [*bars, bars[-1].halfway()], [*stamps, self.now // 1000]
        result: dict[str, Any] = {"meta": self._meta(fault.symbol(symbol), interval, listing, fault, symbol)}
        if not bars:
            return result | {"indicators": {"quote": [{}]}}
        columns = {name: [_number(getattr(bar, name)) for bar in bars] for name in ("open", "high", "low", "close")}
        quote = {**columns, "volume": [_volume(bar.volume) for bar in bars]}
        adjusted = {"adjclose": [price and price * 0.97 for price in columns["close"]]}
        return result | {"timestamp": stamps, "indicators": {"quote": [quote], "adjclose": [adjusted]}}

    def _meta(self, named: str, interval: str, listing: Listing, fault: Fault, symbol: str) -> dict[str, Any]:
        zone = ZoneInfo(listing.zone)
        offset = zone.utcoffset(self.clock().replace(tzinfo=None)) or timedelta(0)
        bars = fault.bars([self.any_series(symbol).shown(0, self.now, self.now)[-1]] * 3)
        return {
            "currency": listing.currency, "symbol": named, "exchangeName": "NMS", "fullExchangeName": "NasdaqGS",
            "instrumentType": "EQUITY", "firstTradeDate": 345479400, "regularMarketTime": self.now // 1000,
            "hasPrePostMarketData": True, "gmtoffset": int(offset.total_seconds()),
            "timezone": self.clock().astimezone(zone).tzname(), "exchangeTimezoneName": listing.zone,
            "regularMarketPrice": _number(bars[1].close) if len(bars) == 3 else 0.0, "longName": f"{symbol} Inc.",
            "shortName": symbol, "priceHint": 2, "dataGranularity": interval, "range": "",
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }  # fmt: skip


def _number(text: str) -> float | None:
    """Through single precision, and null where there is no number."""
    import numpy as np

    return None if text == "NaN" else float(np.float32(text))


def _volume(text: str) -> float:
    return float(text)


def _refused(status: int, code: str, description: str) -> Reply:
    return as_json(status, {"chart": {"result": None, "error": {"code": code, "description": description}}})


def _unauthorized() -> Reply:
    error = {"code": "Unauthorized", "description": "Invalid Crumb"}
    return as_json(401, {"finance": {"result": None, "error": error}})


def stamp_of(day: datetime) -> str:
    return str(milliseconds(day.astimezone(UTC)) // 1000)
