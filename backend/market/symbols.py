"""Names of instruments: a strict pattern, and the kind by the form of the name."""

import re
from enum import StrEnum

from market.errors import SymbolError

# No slash can pass, so a symbol is safe as part of a file name. The caret is how indices are written (^GSPC).
PATTERN = re.compile(r"^(?=.{1,20}\Z)\^?[A-Z0-9][A-Z0-9.=-]*\Z")

CURRENCIES = frozenset((
    "AED", "AUD", "BRL", "CAD", "CHF", "CLP", "CNH", "CNY", "COP", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "IDR",
    "ILS", "INR", "JPY", "KRW", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RON", "SAR", "SEK", "SGD", "THB", "TRY",
    "TWD", "USD", "ZAR", "XAG", "XAU", "XPD", "XPT",
))  # fmt: skip
FOREX = re.compile(r"([A-Z]{3})-?([A-Z]{3})(=X)?")
# The quote is the end of the name and needs a base before it: ABNB and GBTC are shares.
CRYPTO = re.compile(r"[A-Z0-9]{2,}-?(?P<quote>USDT|USDC|FDUSD|BUSD|TUSD|PERP|BTC|ETH)")
# With a base of three or more the name has at least six letters: longer than a ticker without a suffix.
CRYPTO_LONG_BASE = re.compile(r"[A-Z0-9]{3,}-?(?P<quote>USD|EUR|GBP|TRY|BNB)")


class Kind(StrEnum):
    CRYPTO = "crypto"
    STOCK = "stock"
    FOREX = "forex"


def parse_symbol(text: str) -> str:
    """The symbol in its one spelling: trimmed and in upper case. Raises SymbolError."""
    symbol = text.strip()
    # Before upper(), which would turn a dotless i into a plain I.
    if not symbol.isascii() or not PATTERN.fullmatch(symbol.upper()):
        raise SymbolError(f"{text[:40]!r} is not a symbol: 1 to 20 letters, digits, dots, hyphens or equals signs")
    return symbol.upper()


def kind_of(symbol: str) -> Kind:
    """crypto, stock or forex. Raises SymbolError."""
    symbol = parse_symbol(symbol)
    if _is_forex(symbol):
        return Kind.FOREX
    return Kind.CRYPTO if crypto_quote(symbol) else Kind.STOCK


def crypto_quote(symbol: str) -> str | None:
    """What the prices of a crypto symbol are counted in (PERP: dollars), or None for other kinds."""
    if _is_forex(symbol):
        return None
    pair = CRYPTO.fullmatch(symbol) or CRYPTO_LONG_BASE.fullmatch(symbol)
    return pair["quote"] if pair else None


DOLLARS = frozenset({"USDT", "USDC", "FDUSD", "BUSD", "TUSD", "PERP", "USD"})


def quote_currency(symbol: str) -> str:
    """What the prices of a symbol are counted in: USD also for coins that stand for a dollar, and for shares."""
    quote = crypto_quote(symbol)
    if quote is None:
        pair = FOREX.fullmatch(symbol)
        quote = pair[2] if pair and _is_forex(symbol) else "USD"
    return "USD" if quote in DOLLARS else quote


def _is_forex(symbol: str) -> bool:
    pair = FOREX.fullmatch(symbol)
    return pair is not None and {pair[1], pair[2]} <= CURRENCIES
