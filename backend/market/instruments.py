"""The steps in which a symbol is traded: as its venue stated them, else by its kind and its past prices."""

from decimal import Decimal
from functools import lru_cache

import numpy as np
import pandas as pd

from engine.orders import CENT, ZERO, Instrument
from market.models import Symbol
from market.symbols import Kind, crypto_quote, kind_of, parse_symbol

__all__ = [
    "inferred_instrument",
    "inferred_tick",
    "instrument_for",
    "is_stored",
    "kind_of",
    "money_step",
    "parse_symbol",
    "stored_instrument",
]

FEWEST_PLACES, MOST_PLACES = 2, 8
LOT_STEPS = {Kind.CRYPTO: Decimal("0.00001"), Kind.STOCK: Decimal(1), Kind.FOREX: Decimal(1)}

# Money that is itself a coin is counted to eight places.
COIN_QUOTES = frozenset({"BTC", "ETH", "BNB"})
COIN_STEP = Decimal("0.00000001")
MINIMUM_IN_DOLLARS, MINIMUM_IN_COINS = Decimal(5), Decimal("0.0001")


def instrument_for(symbol: str, history: pd.DataFrame) -> Instrument:
    """The instrument of a symbol, which need not be stored. Raises SymbolError.

    The tick is inferred from nothing but `history` (a candle frame), so the caller decides what was known at the time.
    """
    row = Symbol.objects.filter(symbol=parse_symbol(symbol)).first()
    if row is None:
        return inferred_instrument(symbol, history)
    return stored_instrument(row, inferred_tick(history) if row.price_tick is None else None)


def inferred_instrument(symbol: str, history: pd.DataFrame) -> Instrument:
    """The instrument of a symbol by its kind and `history` alone, whatever is stored of it. Raises SymbolError."""
    symbol = parse_symbol(symbol)
    return stored_instrument(Symbol(symbol=symbol, kind=kind_of(symbol)), inferred_tick(history))


def is_stored(symbol: str) -> bool:
    return Symbol.objects.filter(symbol=symbol).exists()


def stored_instrument(row: Symbol, price_tick: Decimal | None = None) -> Instrument:
    """The instrument of a row. The tick may be left out where the row states one."""
    tick = row.price_tick if price_tick is None else price_tick
    if tick is None:
        raise ValueError(f"{row.symbol} has no price tick yet: no candles have been seen")
    return _instrument(row.symbol, row.kind, tick, row.lot_step, row.minimum_notional)


def money_step(symbol: str) -> Decimal:
    """The smallest amount of the money that a symbol is paid for with."""
    return COIN_STEP if crypto_quote(symbol) in COIN_QUOTES else CENT


@lru_cache(maxsize=4096)
def _instrument(
    symbol: str, kind_name: str, tick: Decimal, lot_step: Decimal | None, minimum: Decimal | None
) -> Instrument:
    kind, in_coins = Kind(kind_name), money_step(symbol) == COIN_STEP
    return Instrument(
        symbol=symbol,
        price_tick=_short(tick),
        lot_step=LOT_STEPS[kind] if lot_step is None else _short(lot_step),
        minimum_notional=_usual_minimum(kind, in_coins) if minimum is None else _short(minimum),
        money_step=money_step(symbol),
    )


def inferred_tick(history: pd.DataFrame) -> Decimal:
    """The step that the prices of a candle frame are written in, from 0.01 down to 0.00000001."""
    prices = history[["open", "high", "low", "close"]].to_numpy().ravel()
    for places in range(FEWEST_PLACES, MOST_PLACES):
        prices = prices[np.round(prices, places) != prices]
        if not len(prices):
            return Decimal(1).scaleb(-places)
    return Decimal(1).scaleb(-MOST_PLACES)


def _usual_minimum(kind: Kind, in_coins: bool) -> Decimal:
    if kind is not Kind.CRYPTO:
        return ZERO
    return MINIMUM_IN_COINS if in_coins else MINIMUM_IN_DOLLARS


def _short(number: Decimal) -> Decimal:
    """Without the trailing zeros of the database column, which would show in every price and quantity."""
    short = number.normalize()
    return short if short == 0 or short.adjusted() < 0 or short % 1 else short.quantize(Decimal(1))
