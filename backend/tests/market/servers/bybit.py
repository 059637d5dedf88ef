"""Bybit's public v5 REST interface (https://bybit-exchange.github.io/docs/v5/market/kline)."""

from typing import Any

from tests.market.servers.faults import Fault, Reply
from tests.market.servers.http import Request, Server, as_json
from tests.market.servers.series import Bar, book, milliseconds

INTERVALS = {
    "1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h", "360": "6h",
    "720": "12h", "D": "1d", "W": "1w",
}  # fmt: skip


class BybitServer(Server):
    def __init__(self, *arguments: Any, category: str = "spot", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.category = category
        # What is left out when more was asked for than the limit. The documentation does not say.
        self.leaves_out_the_oldest = True

    def answer(self, request: Request, fault: Fault) -> Reply:
        routes = {
            "/v5/market/time": self._time,
            "/v5/market/kline": self._kline,
            "/v5/market/tickers": self._tickers,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/orderbook": self._book,
        }
        route = routes.get(request.path)
        if route is None:
            return Reply(404, b"")
        if request.path != "/v5/market/time" and request.query.get("category") != self.category:
            return self._refused("Illegal category")
        return route(request, fault)

    def too_many(self) -> Reply:
        body = {"retCode": 10006, "retMsg": "Too many visits. Exceeded the API Rate Limit.", "result": {}}
        return as_json(
            200, body | self._tail(), X_Bapi_Limit_Status="0", X_Bapi_Limit_Reset_Timestamp=str(self.now + 2000)
        )

    def _time(self, request: Request, fault: Fault) -> Reply:
        return self._ok({"timeSecond": str(self.now // 1000), "timeNano": str(self.now * 1_000_000)})

    def _kline(self, request: Request, fault: Fault) -> Reply:
        symbol, interval = request.query.get("symbol", ""), INTERVALS.get(request.query.get("interval", ""))
        limit = request.whole("limit", 200)
        if not self.knows(symbol):
            return self._refused("Not supported symbols")
        if interval is None:
            return self._refused("Invalid period!")
        if not 1 <= limit <= 1000:
            return self._refused("params error: limit invalid")
        bars = self.shown(symbol, interval, request.whole("start", 0), request.whole("end", self.now), fault)
        bars = bars[-limit:] if self.leaves_out_the_oldest else bars[:limit]
        rows = [self._row(bar) for bar in reversed(bars)]
        return self._ok({"category": self.category, "symbol": fault.symbol(symbol), "list": rows})

    def _row(self, bar: Bar) -> list[str]:
        turnover = "NaN" if bar.close == "NaN" else f"{float(bar.close) * float(bar.volume):.6f}"
        return [str(bar.time), bar.open, bar.high, bar.low, bar.close, bar.volume, turnover]

    def _tickers(self, request: Request, fault: Fault) -> Reply:
        symbol = request.query.get("symbol", "")
        if not self.knows(symbol):
            return self._refused("Not supported symbols")
        bars = fault.bars([self.any_series(symbol).shown(0, self.now, self.now)[-1]] * 3)
        price = bars[1].close if len(bars) == 3 else "0"
        ticker = {
            "symbol": fault.symbol(symbol), "bid1Price": price, "bid1Size": "2", "ask1Price": price, "ask1Size": "1",
            "lastPrice": price, "prevPrice24h": price, "price24hPcnt": "0", "highPrice24h": price,
            "lowPrice24h": price, "turnover24h": "1", "volume24h": "1",
        }  # fmt: skip
        return self._ok({"category": self.category, "list": [ticker]})

    def _instruments(self, request: Request, fault: Fault) -> Reply:
        symbol = request.query.get("symbol", "")
        if not self.knows(symbol) and self.category == "spot":
            return self._ok({"category": "spot", "list": []})
        if not self.knows(symbol):
            return self._refused("params error: symbol invalid")
        lot = (
            {"basePrecision": "0.000001", "quotePrecision": "0.00000001", "minOrderQty": "0.000048", "minOrderAmt": "1"}
            if self.category == "spot"
            else {"minOrderQty": "0.001", "qtyStep": "0.001", "minNotionalValue": "5"}
        )
        instrument = {
            "symbol": fault.symbol(symbol), "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading",
            "lotSizeFilter": lot, "priceFilter": {"tickSize": "0.01" if self.category == "spot" else "0.10"},
        }  # fmt: skip
        return self._ok({"category": self.category, "list": [instrument]})

    def _book(self, request: Request, fault: Fault) -> Reply:
        symbol, limit = request.query.get("symbol", ""), request.whole("limit", 1)
        if not self.knows(symbol):
            return self._refused("Not supported symbols")
        if not 1 <= limit <= (200 if self.category == "spot" else 500):
            return self._refused("params error: limit invalid")
        bids, asks = book(self.any_series(symbol).last_price(self.now), limit)
        times = {"ts": self.now, "u": 243781, "seq": 3887177875}
        return self._ok({"s": fault.symbol(symbol), "b": bids, "a": asks, **times})

    def _ok(self, result: dict[str, Any]) -> Reply:
        return as_json(200, {"retCode": 0, "retMsg": "OK", "result": result} | self._tail())

    def _refused(self, message: str) -> Reply:
        return as_json(200, {"retCode": 10001, "retMsg": message, "result": {}} | self._tail())

    def _tail(self) -> dict[str, Any]:
        return {"retExtInfo": {}, "time": milliseconds(self.clock())}
