"""Which sources a symbol has, in which order they are asked, and what happens when one fails.

Nothing heavy is imported here: a client and its library are loaded when its source is first asked.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from threading import Lock
from typing import TypeVar

from django.conf import settings

from market.errors import NoSource, NotServed, SourceError, UnknownSource
from market.models import Symbol
from market.sources.base import SOURCE_NAME, SOURCE_NAMES, FetchedCandles, Price, Source, VenueTerms
from market.symbols import Kind, crypto_quote, kind_of, parse_symbol

Value = TypeVar("Value")

# The currencies in which Yahoo quotes coins.
FIAT_QUOTES = frozenset({"USD", "EUR", "GBP", "TRY"})
PERPETUAL = "PERP"
_LOCK = Lock()


def sources_for(symbol: str, files: bool = True) -> list[Source]:
    """The sources of a symbol in the order in which they are asked; without `files`, none of the user's CSV files.

    The instrument table decides where it has the symbol: its own source, else its kind. Raises SymbolError.
    """
    symbol = parse_symbol(symbol)
    row = Symbol.objects.filter(symbol=symbol).first()
    if row and row.source:
        return [named(row.source)]
    names = _usual_names(symbol, Kind(row.kind) if row else kind_of(symbol))
    if files and _has_file(symbol):
        names = ["csv", *names]
    return [named(name) for name in names]


def named(name: str) -> Source:
    """The source of a name, one for the whole process, since it keeps connections, budget and breaker.

    Raises UnknownSource.
    """
    if not SOURCE_NAME.match(name):
        raise UnknownSource(f"{name[:40]!r} is no source: known are {SOURCE_NAMES}")
    with _LOCK:
        return _source(name)


def fetch(
    symbol: str, interval: str, start: datetime, end: datetime, sources: Sequence[Source] | None = None
) -> FetchedCandles:
    """The closed candles with start <= open time < end, of the first source that has some; empty where none has any.

    A source that does not reach back to the start serves what it has. Raises NoSource when every source
    failed, naming each and why.
    """
    failures: list[SourceError] = []
    empty: Source | None = None
    for source in sources_for(symbol) if sources is None else sources:
        try:
            candles = source.candles(symbol, interval, reachable(source, interval, start, end), end)
        except SourceError as error:
            failures.append(error)
            continue
        if not candles.empty:
            return FetchedCandles(candles, source, [str(failure) for failure in failures])
        empty = empty or source
        failures.append(NotServed(source.name, "it has no candles of that period"))
    if empty is None:
        raise NoSource(f"{symbol} {interval}", failures)
    from market.sources.rows import empty_frame

    return FetchedCandles(empty_frame(), empty, [str(failure) for failure in failures])


def reachable(source: Source, interval: str, start: datetime, now: datetime) -> datetime:
    """The start, or the first time of which the source keeps candles where that is later."""
    earliest = source.earliest(interval, now)
    return start if earliest is None else max(start, earliest)


def quote(symbol: str, sources: Sequence[Source] | None = None) -> tuple[Price, Source]:
    """The last price, of the first source that has one. Raises NoSource."""
    return _first(f"a price of {symbol}", lambda source: source.quote(symbol), _asked(symbol, sources))


def terms(symbol: str, sources: Sequence[Source] | None = None) -> tuple[VenueTerms, Source]:
    """The instrument terms of the first source that has the symbol. Raises NoSource."""
    return _first(f"the terms of {symbol}", lambda source: source.terms(symbol), _asked(symbol, sources))


def _asked(symbol: str, sources: Sequence[Source] | None) -> Sequence[Source]:
    # A file has neither current prices nor instrument terms.
    return sources_for(symbol, files=False) if sources is None else sources


def _first(wanted: str, ask: Callable[[Source], Value], sources: Sequence[Source]) -> tuple[Value, Source]:
    failures = []
    for source in sources:
        try:
            return ask(source), source
        except SourceError as error:
            failures.append(error)
    raise NoSource(wanted, failures)


def _usual_names(symbol: str, kind: Kind) -> list[str]:
    if kind is not Kind.CRYPTO:
        return ["yahoo"]
    currency = crypto_quote(symbol)
    if currency == PERPETUAL:
        return ["bybit:linear"]
    return ["bybit", "binance", *(["yahoo"] if currency in FIAT_QUOTES else [])]


def _has_file(symbol: str) -> bool:
    from market.sources.csv_file import data_folders  # pandas

    names = (f"{symbol}.csv", f"{symbol}_*.csv")
    return any(any(folder.glob(name)) for folder in data_folders() for name in names)


@cache
def _source(name: str) -> Source:
    from market.sources.factory import make

    return make(name, settings.BYBIT_BASE_URL, settings.BINANCE_BASE_URL)
