"""Binance's public spot interface (https://developers.binance.com/docs/binance-spot-api-docs/rest-api)."""

from typing import Any

from tests.market.servers.faults import Fault, Reply
from tests.market.servers.http import Request, Server, as_json
from tests.market.servers.series import Bar, Series, book

INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w")
PARAMETERS = {
    "/api/v3/time": set(),
    "/api/v3/klines": {"symbol", "interval", "startTime", "endTime", "limit"},
    "/api/v3/ticker/24hr": {"symbol"},
    "/api/v3/exchangeInfo": {"symbol"},
    "/api/v3/depth": {"symbol", "limit"},
}


class BinanceServer(Server):
    def answer(self, request: Request, fault: Fault) -> Reply:
        if request.path not in PARAMETERS:
            return Reply(404, b"<html>404 Not found</html>")
        if set(request.query) - PARAMETERS[request.path]:
            return _refused(-1104, "Not all sent parameters were read; read '1' parameter(s) but was sent more.")
        if request.path == "/api/v3/time":
            return as_json(200, {"serverTime": self.now})
        symbol = request.query.get("symbol", "")
        if not self.knows(symbol):
            return _refused(-1121, "Invalid symbol.")
        routes = {"klines": self._klines, "24hr": self._ticker, "exchangeInfo": self._info, "depth": self._depth}
        return routes[request.path.rpartition("/")[2]](symbol, request, fault)

    def too_many(self) -> Reply:
        text = (
            "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return as_json(429, {"code": -1003, "msg": text}, Retry_After="2")

    def _klines(self, symbol: str, request: Request, fault: Fault) -> Reply:
        interval = request.query.get("interval", "")
        if interval not in INTERVALS:
            return _refused(-1120, "Invalid interval.")
        limit = min(request.whole("limit", 500), 1000)
        first, last = request.whole("startTime", 0), request.whole("endTime", self.now)
        if limit < 1 or first > last:
            return _refused(-1102, "A parameter is malformed.")
        series = self.series.get((symbol, interval))
        bars = series.shown(first, last, self.now)[:limit] if series else []
        return as_json(200, [_row(bar, series) for bar in fault.bars(bars) if series])

    def _ticker(self, symbol: str, request: Request, fault: Fault) -> Reply:
        bars = fault.bars([self.any_series(symbol).shown(0, self.now, self.now)[-1]] * 3)
        price = bars[1].close if len(bars) == 3 else "0"
        names = (
            "priceChange", "priceChangePercent", "weightedAvgPrice", "prevClosePrice", "lastPrice", "lastQty",
            "bidPrice", "bidQty", "askPrice", "askQty", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume",
        )  # fmt: skip
        times = {"openTime": self.now - 86_400_000, "closeTime": self.now, "firstId": 1, "lastId": 2, "count": 2}
        return as_json(200, {"symbol": fault.symbol(symbol), **dict.fromkeys(names, price), **times})

    def _depth(self, symbol: str, request: Request, fault: Fault) -> Reply:
        bids, asks = book(self.any_series(symbol).last_price(self.now), min(request.whole("limit", 100), 5000))
        return as_json(200, {"lastUpdateId": 14527958487, "bids": bids, "asks": asks})

    def _info(self, symbol: str, request: Request, fault: Fault) -> Reply:
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.0", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.0", "stepSize": "0.00001000"},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True, "avgPriceMins": 5},
        ]
        found: dict[str, Any] = {"symbol": fault.symbol(symbol), "status": "TRADING", "baseAsset": "BTC"}
        found |= {"quoteAsset": "USDT", "filters": filters}
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]
        body = {"timezone": "UTC", "serverTime": self.now, "rateLimits": limits, "exchangeFilters": []}
        return as_json(200, body | {"symbols": [found]})


def _row(bar: Bar, series: Series) -> list[Any]:
    prices = [f"{number}000000" if number != "NaN" else number for number in (bar.open, bar.high, bar.low, bar.close)]
    closes = bar.time + series.length - 1
    return [bar.time, *prices, bar.volume, closes, "1.00000000", 617, "0.50000000", "0.50000000", "0"]


def _refused(code: int, message: str) -> Reply:
    return as_json(400, {"code": code, "msg": message})
