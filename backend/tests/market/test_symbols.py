import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import MarketError, SymbolError
from market.symbols import kind_of, parse_symbol


@pytest.mark.parametrize(
    ("kind", "symbols"),
    [
        ("crypto", "BTCUSDT ETHUSDT BNBUSDT 1INCHUSDT 1000PEPEUSDT PEPEUSDT BTCPERP ETHBTC TRXBTC OPBTC SOLBNB BTCUSD"),
        ("crypto", "BTC-USD ETH-EUR BTCEUR DOGETRY USDCUSDT EURUSDT BTCFDUSD OPUSDT BTC-PERP XRPUSDC"),
        (
            "stock",
            "ABNB GOOG GOOGL AAPL MSFT AMZN TSLA META NVDA JPM IBM SPY BRK.B BF-B 7203.T 005930.KS ^GSPC ^N225 F",
        ),
        ("stock", "GBTC EBTC IBTC ETH BTC USDT PERP UUSDT BETH NUEUR USD EUR ABNBUS COIN USO CETH"),
        ("forex", "EURUSD GBPUSD USDJPY EURGBP USDTRY XAUUSD EURUSD=X EUR-USD USDUSD"),
    ],
)
def test_the_kind_follows_from_the_whole_name(kind: str, symbols: str):
    assert {symbol: kind_of(symbol) for symbol in symbols.split()} == dict.fromkeys(symbols.split(), kind)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        (" btcusdt \n", "BTCUSDT"),
        ("brk.b", "BRK.B"),
        ("^gspc", "^GSPC"),
        ("eurusd=x", "EURUSD=X"),
        ("A" * 20, "A" * 20),
    ],
)
def test_a_symbol_has_one_spelling(text: str, symbol: str):
    assert parse_symbol(text) == symbol


BAD = [
    "",
    "  ",
    "../x",
    "..",
    ".A",
    "-A",
    "=X",
    "^",
    "^^A",
    "A^B",
    "A/B",
    "A\\B",
    "A B",
    "A\nB",
    "A\0",
    "A_B",
    "A*",
    "A" * 21,
]
UNICODE = ["ＢＴＣ", "ıbm", "straße", "BTC₮", "АAPL", "٣"]  # noqa: RUF001  (look-alikes are the point)


@pytest.mark.parametrize("text", BAD + UNICODE)
def test_what_is_no_symbol_is_refused(text: str):
    for rule in (parse_symbol, kind_of):
        with pytest.raises(SymbolError, match="is not a symbol"):
            rule(text)


def test_a_refusal_is_a_market_error_that_no_retry_helps():
    assert issubclass(SymbolError, MarketError)
    assert not SymbolError.retry_helps


@given(st.text(max_size=30))
def test_what_passes_is_safe_in_a_file_name(text: str):
    try:
        symbol = parse_symbol(text)
    except SymbolError:
        return
    assert symbol.isascii()
    assert 1 <= len(symbol) <= 20
    assert not set(symbol) & set("/\\ \0\n*?[]")
    assert symbol[0] != "."
    assert parse_symbol(symbol) == symbol
    assert kind_of(symbol) in {"crypto", "stock", "forex"}
