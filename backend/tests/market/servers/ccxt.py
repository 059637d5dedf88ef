"""An exchange that only ccxt speaks to here: Bitstamp (https://www.bitstamp.net/api/)."""

from typing import Any

from tests.market.servers.faults import Fault, Reply
from tests.market.servers.http import Request, Server, as_json
from tests.market.servers.series import Bar

STEPS = {"60": "1m", "180": "3m", "300": "5m", "900": "15m", "1800": "30m", "3600": "1h", "86400": "1d"}


class BitstampServer(Server):
    """Its series are named as its pairs: btcusdt."""

    def answer(self, request: Request, fault: Fault) -> Reply:
        parts = request.path.strip("/").split("/")
        if parts == ["api", "v2", "markets"]:
            return as_json(200, [_market(symbol) for symbol in sorted({name for name, _ in self.series})])
        if len(parts) != 4 or parts[:2] != ["api", "v2"] or not self.knows(parts[3]):
            return as_json(404, {"status": "error", "reason": "Not found.", "code": "API0404"})
        if parts[2] == "ohlc":
            return self._ohlc(parts[3], request, fault)
        return self._ticker(parts[3], fault)

    def _ohlc(self, pair: str, request: Request, fault: Fault) -> Reply:
        interval, limit = STEPS.get(request.query.get("step", "")), request.whole("limit", 0)
        if interval is None or not 1 <= limit <= 1000:
            return as_json(400, {"status": "error", "reason": "Invalid step or limit.", "code": "API0011"})
        first, last = request.whole("start", 0) * 1000, request.whole("end", self.now // 1000) * 1000
        series = self.series.get((pair, interval))
        bars = fault.bars(series.shown(first, last, self.now)[:limit]) if series else []
        return as_json(200, {"data": {"pair": _name(pair), "ohlc": [_row(bar) for bar in bars]}})

    def _ticker(self, pair: str, fault: Fault) -> Reply:
        bars = fault.bars([self.any_series(pair).shown(0, self.now, self.now)[-1]] * 3)
        price = bars[1].close if len(bars) == 3 else "0"
        names = ("last", "high", "low", "vwap", "volume", "bid", "ask", "open", "open_24", "percent_change_24")
        return as_json(200, {"timestamp": str(self.now // 1000), "side": "0", **dict.fromkeys(names, price)})


def _market(pair: str) -> dict[str, Any]:
    base, quote = _name(pair).split("/")
    return {
        "name": _name(pair), "market_symbol": pair, "base_currency": base, "base_decimals": 8,
        "counter_currency": quote, "counter_decimals": 2, "minimum_order_value": "10", "trading": "Enabled",
        "instant_order_counter_decimals": 2, "instant_and_market_orders": "Enabled", "description": "Bitcoin / Tether",
        "market_type": "SPOT",
    }  # fmt: skip


def _name(pair: str) -> str:
    return f"{pair[:3]}/{pair[3:]}".upper()


def _row(bar: Bar) -> dict[str, str]:
    prices = {"open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close, "volume": bar.volume}
    return {"timestamp": str(bar.time // 1000), **prices}
