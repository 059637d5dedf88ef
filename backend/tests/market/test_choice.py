"""Which source is asked first, and what happens when it has no answer."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from market.errors import NoSource, SourceDown, SymbolError, UnknownSource
from market.models import Candle, Symbol
from market.services import add_symbol, store_candles
from market.sources import choice, csv_file
from market.sources.csv_source import CsvSource
from market.sources.health import source_states
from tests.market.servers import faults
from tests.market.servers.faults import Fault
from tests.market.venues import KINDS, NOW, Venue, hours, opened

BACKEND = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No candle files but those that a test writes."""
    monkeypatch.setattr(csv_file, "data_folders", lambda: [tmp_path])
    return tmp_path


@pytest.fixture
def two() -> Iterator[list[Venue]]:
    """Bybit and Binance, with the same market."""
    with ExitStack() as stack:
        venues = [stack.enter_context(opened(kind)) for kind in KINDS if kind.name in ("bybit", "binance")]
        for venue in venues:
            venue.trades(50)
        yield venues


def names(symbol: str, files: bool = True) -> list[str]:
    return [source.name for source in choice.sources_for(symbol, files)]


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("BTCUSDT", ["bybit", "binance"]),
        ("btc-usdt", ["bybit", "binance"]),
        ("BTCPERP", ["bybit:linear"]),
        ("BTCUSD", ["bybit", "binance", "yahoo"]),
        ("ABNB", ["yahoo"]),
        ("GBTC", ["yahoo"]),
        ("EURUSD", ["yahoo"]),
        ("^GSPC", ["yahoo"]),
    ],
)
def test_the_kind_of_a_symbol_decides(symbol: str, expected: list[str]):
    assert names(symbol) == expected


def test_the_instrument_table_decides_before_the_name():
    Symbol.objects.create(symbol="BNBUSDT", kind="stock")
    assert names("BNBUSDT") == ["yahoo"]
    Symbol.objects.create(symbol="SOLUSDT", kind="crypto", source="ccxt:kraken")
    assert names("SOLUSDT") == ["ccxt:kraken"]


def test_a_file_of_the_user_comes_first(empty_folder: Path):
    (empty_folder / "GOOG_1d.csv").write_text("timestamp,open,high,low,close,volume\n2024-02-01,1,2,1,2,5\n")
    assert names("GOOG") == ["csv", "yahoo"]
    assert names("GOOG", files=False) == ["yahoo"]
    assert names("GOO") == ["yahoo"]


def test_a_name_that_is_no_symbol_or_no_source_is_refused():
    with pytest.raises(SymbolError):
        choice.sources_for("BTC/USDT")
    for name in ("nasdaq", "ccxt:", "ccxt:../etc", "bybit:inverse"):
        with pytest.raises(UnknownSource, match="is no source: known are csv, bybit"):
            choice.named(name)
    with pytest.raises(UnknownSource, match="ccxt knows no exchange 'nosuch'"):
        choice.named("ccxt:nosuch")


def test_a_source_is_made_once():
    assert choice.named("binance") is choice.named("binance")


def test_the_first_source_serves(two: list[Venue]):
    answer = choice.fetch("BTCUSDT", "1h", NOW - hours(10), NOW, [venue.source for venue in two])
    assert answer.source.name == "bybit"
    assert answer.passed_over == []
    assert two[1].server.asked == []


FAULTS = [
    (faults.status(429, Retry_After="60"), "rate limit exceeded"),
    (faults.SERVER_ERROR, "server error"),
    (faults.status(403), "does not serve this region"),
    (faults.TRUNCATED, "cannot be parsed"),
    (faults.CUT_OFF, "cut off"),
    (faults.OTHER_JSON, "unknown form"),
    (faults.OTHER_SYMBOL, "answered with DOGEUSDT"),
    (faults.NOT_A_NUMBER, "not a finite number"),
    (faults.ZERO_PRICE, "not above zero"),
    (faults.BACKWARDS, "out of order"),
    (faults.DUPLICATED, "twice"),
    (faults.EMPTY, "no candles of that period"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=[str(fault) for fault, _ in FAULTS])
def test_the_next_source_serves_and_the_answer_says_why(two: list[Venue], fault: Fault, reason: str):
    bybit, binance = two
    bybit.server.faults.add(fault)
    truth = binance.server.any_series("BTCUSDT")
    answer = choice.fetch("BTCUSDT", "1h", truth.start, NOW, [bybit.source, binance.source])
    assert answer.source.name == "binance"
    [passed_over] = answer.passed_over
    assert passed_over.startswith("bybit: ")
    assert reason in passed_over
    stored = store_candles(add_symbol("BTCUSDT"), "1h", answer.candles, answer.source.name)
    assert stored == len(truth.closed(truth.start, NOW, NOW))
    assert set(Candle.objects.values_list("source", flat=True)) == {"binance"}


def test_when_none_answers_each_is_named_with_its_reason(two: list[Venue]):
    bybit, binance = two
    bybit.server.faults.add(faults.SERVER_ERROR)
    binance.server.faults.add(faults.status(451))
    with pytest.raises(NoSource) as caught:
        choice.fetch("BTCUSDT", "1h", NOW - hours(10), NOW, [bybit.source, binance.source])
    message = str(caught.value)
    assert message.startswith("no source for BTCUSDT 1h: bybit: server error: HTTP 503")
    assert "; binance: it does not serve this region: HTTP 451" in message
    assert caught.value.retry_helps
    assert isinstance(caught.value.failures[0], SourceDown)


def test_an_empty_answer_is_an_answer_when_no_source_has_more(two: list[Venue]):
    sources = [venue.source for venue in two]
    answer = choice.fetch("BTCUSDT", "1h", NOW - timedelta(days=900), NOW - timedelta(days=899), sources)
    assert answer.candles.empty
    assert answer.source.name == "bybit"
    two[0].server.faults.add(faults.SERVER_ERROR)
    answer = choice.fetch("BTCUSDT", "1h", NOW - timedelta(days=900), NOW - timedelta(days=899), sources)
    assert answer.candles.empty
    assert answer.source.name == "binance"


def test_a_file_that_ends_before_is_passed_over(two: list[Venue], empty_folder: Path):
    days = pd.date_range("2024-01-01", periods=48, freq="h")
    lines = [f"{day:%Y-%m-%dT%H:%M:%SZ},5,6,4,5,1" for day in days]
    (empty_folder / "BTCUSDT_1h.csv").write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]))
    sources = [CsvSource(), two[0].source]
    early = choice.fetch("BTCUSDT", "1h", NOW - timedelta(days=60), NOW - timedelta(days=59), sources)
    assert (early.source.name, len(early.candles)) == ("csv", 24)
    late = choice.fetch("BTCUSDT", "1h", NOW - hours(10), NOW, sources)
    assert late.source.name == "bybit"
    assert "holds 2024-01-01 00:00 to 2024-01-02 23:00 UTC only" in late.passed_over[0]


def test_prices_and_terms_come_from_the_first_that_has_them(two: list[Venue]):
    bybit, binance = two
    bybit.server.faults.add(faults.SERVER_ERROR)
    sources = [bybit.source, binance.source]
    price, source = choice.quote("BTCUSDT", sources)
    assert source.name == "binance"
    assert price.price > 0
    assert choice.terms("BTCUSDT", sources)[0].name == "BTC/USDT"
    binance.server.faults.add(faults.SERVER_ERROR)
    with pytest.raises(NoSource, match=r"no source for a price of BTCUSDT: bybit: .*; binance: "):
        choice.quote("BTCUSDT", sources)


def test_sources_of_the_platform_have_budgets_and_breakers_that_are_reported(two: list[Venue], settings):
    choice._source.cache_clear()
    bybit, binance = two
    settings.BYBIT_BASE_URL, settings.BINANCE_BASE_URL = bybit.server.url, binance.server.url
    for venue in two:
        # The platform's own sources go by the clock of this machine.
        venue.clock.now = datetime.now(UTC)
    bybit.server.faults.add(faults.SERVER_ERROR, times=3)
    try:
        with pytest.raises(SourceDown):
            choice.named("bybit").quote("BTCUSDT")
        price, source = choice.quote("BTCUSDT")
        assert (price.price > 0, source.name) == (True, "bybit")
    finally:
        choice._source.cache_clear()
    [state] = source_states()
    assert (state.name, state.failures, state.last_error) == ("bybit", 0, "server error: HTTP 503")
    assert state.last_success_at >= state.last_failure_at


def test_nothing_heavy_is_imported_before_a_source_is_asked():
    heavy = ["pandas", "pybit", "ccxt", "yfinance", "curl_cffi", "stamina", "pybreaker", "pyrate_limiter"]
    script = (
        "import django, sys; django.setup(); import market.sources.choice, market.sources.health; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    environment = {"PATH": "", "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=BACKEND, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
