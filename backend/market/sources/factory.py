"""The sources as the platform uses them: each with its own request budget, retries and circuit breaker."""

from market.sources.base import Source
from market.sources.client import HttpSettings
from market.sources.health import record
from market.sources.resilience import Budget, RequestGuard

# A fifth of what each allows one address, because several processes may ask from it. Yahoo names no figure.
# Bybit: 600 requests in 5 s (https://bybit-exchange.github.io/docs/v5/rate-limit); Binance: 6,000 of weight a minute.
# ccxt limits its own rate.
BUDGETS = {
    "bybit": Budget(120, 5),
    "bybit:linear": Budget(120, 5),
    "binance": Budget(1200, 60),
    "yahoo": Budget(60, 60),
}


def make(name: str, bybit_base_url: str, binance_base_url: str) -> Source:
    """The source of a name of market.sources.base.SOURCE_NAME. Its library is imported here. Raises UnknownSource."""
    http = HttpSettings(guard=RequestGuard(name, BUDGETS.get(name), report=record))
    if name == "csv":
        from market.sources.csv_source import CsvSource

        return CsvSource()
    if name == "yahoo":
        from market.sources.yahoo import YahooSource

        return YahooSource(http=http)
    if name == "binance":
        from market.sources.binance import BinanceSource

        return BinanceSource(binance_base_url, http)
    if name.startswith("bybit"):
        from market.sources.bybit import BybitSource

        return BybitSource("linear" if name == "bybit:linear" else "spot", bybit_base_url, http)
    from market.sources.ccxt_exchange import PREFIX, CcxtSource

    return CcxtSource(name.removeprefix(PREFIX), http=http)
