"""The clients read what the real ones once sent, and our servers send the same form."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from market.errors import UnknownInstrument
from market.sources.binance import BinanceSource
from market.sources.bybit import BybitSource
from market.sources.client import HttpSettings
from market.sources.yahoo import YahooSource
from tests.market.servers.faults import Fault, Reply
from tests.market.servers.http import Request, Server, SetClock
from tests.market.servers.yahoo import COOKIE
from tests.market.venues import KINDS, Kind, Venue, opened

PROJECT_DIR = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def payloads() -> Path:
    folder = Path(os.environ.get("PHOTON_TEST_PAYLOADS") or PROJECT_DIR.parent / "shared" / "payloads")
    if not folder.is_dir():
        pytest.skip(f"no recorded payloads at {folder}; PHOTON_TEST_PAYLOADS names the folder")
    return folder


class Player(Server):
    """Gives the same recorded answer to every question."""

    recorded = Reply(200, b"")

    def answer(self, request: Request, fault: Fault) -> Reply:
        if request.path in ("/", "") or request.path.endswith("getcrumb"):
            return Reply(200, b"crumb", {"Set-Cookie": f"{COOKIE}; Path=/"})
        return self.recorded

    def plays(self, path: Path, status: int = 200) -> "Player":
        self.recorded = Reply(status, path.read_bytes())
        return self


@pytest.fixture
def player() -> Iterator[Player]:
    with Player(SetClock(datetime(2025, 2, 20, 12, tzinfo=UTC))) as server:
        assert isinstance(server, Player)
        yield server


def http(player: Player) -> HttpSettings:
    return HttpSettings(clock=player.clock, largest_skew_seconds=10**10)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_bybit_days(player: Player, payloads: Path):
    player.plays(payloads / "bybit/rest/kline_spot_BTCUSDT_D_testnet_200rows.json")
    days = BybitSource("spot", player.url, http(player)).candles(
        "BTCUSDT", "1d", at("2024-04-22") - timedelta(days=199), at("2024-04-23")
    )
    # The 200th was still open when the answer was given.
    assert (len(days), days.index[0]) == (199, pd.Timestamp("2023-10-06", tz="UTC"))
    assert days.iloc[-1].tolist() == [61623.64, 65598.27, 30126.61, 38515.14, 521306.228068]


def test_bybit_a_day_that_is_still_open(player: Player, payloads: Path):
    player.plays(payloads / "bybit/rest/kline_spot_BTCUSDT_D_mainnet.json")
    source = BybitSource("spot", player.url, http(player))
    assert source.candles("BTCUSDT", "1d", at("2025-04-29"), at("2025-04-30")).empty


def test_bybit_terms_and_prices(player: Player, payloads: Path):
    spot, linear = (BybitSource(category, player.url, http(player)) for category in ("spot", "linear"))
    player.plays(payloads / "bybit/rest/instruments_info_spot.json")
    terms = spot.terms("BTCUSDT")
    assert (terms.price_tick, terms.lot_step, terms.minimum_notional) == (Decimal("0.01"), Decimal("0.000001"), 1)
    player.plays(payloads / "bybit/rest/instruments_info_linear.json")
    terms = linear.terms("BTCUSDT")
    assert (terms.price_tick, terms.lot_step, terms.minimum_notional) == (Decimal("0.1"), Decimal("0.001"), 5)
    player.plays(payloads / "bybit/rest/tickers_spot_BTCUSDT.json")
    assert spot.quote("BTCUSDT").price == 20533.13
    for name, source in (("instruments_info_spot_unknown_symbol", spot), ("error_10001_unknown_symbol_linear", linear)):
        player.plays(payloads / f"bybit/rest/{name}.json")
        with pytest.raises(UnknownInstrument, match="it has no NOTACOINUSDT"):
            source.terms("NOTACOINUSDT")


def test_binance(player: Player, payloads: Path):
    source = BinanceSource(player.url, http(player))
    player.plays(payloads / "binance/rest/klines_BTCUSDT_1m.json")
    minutes = source.candles("BTCUSDT", "1m", at("2021-10-22T23:03:00"), at("2021-10-22T23:13:00"))
    assert len(minutes) == 10
    assert minutes["high"].iloc[0] == 60729.84
    player.plays(payloads / "binance/rest/exchangeInfo_BTCUSDT_ETHUSDT.json")
    terms = source.terms("BTCUSDT")
    assert (terms.price_tick, terms.lot_step, terms.minimum_notional) == (Decimal("0.01"), Decimal("0.00001"), 10)
    player.plays(payloads / "binance/rest/ticker_24hr_docs.json")
    assert source.quote("BNBBTC").price == 4.000002
    player.plays(payloads / "binance/rest/error_-1121_invalid_symbol.json", status=400)
    with pytest.raises(UnknownInstrument, match=r"it has no NOTACOINUSDT: Invalid symbol\."):
        source.terms("NOTACOINUSDT")


def test_yahoo_a_split_and_a_dividend(player: Player, payloads: Path):
    source = YahooSource(player.url, http(player))
    player.plays(payloads / "yahoo/chart_AAPL_1d_2020-08-31_2020-11-07_split_dividend.json")
    days = source.candles("AAPL", "1d", at("2020-08-31"), at("2020-11-07"))
    assert len(days) == 49
    # As they stood in the papers, to the cent, and not 129.0399932861328.
    assert days["close"].iloc[:3].tolist() == [129.04, 134.18, 131.4]


@pytest.mark.parametrize(
    ("name", "symbol", "count"),
    [("BTC-USD", "BTC-USD", 3), ("EURUSD=X", "EURUSD", 3), ("OCDO.L", "OCDO.L", 1), ("GCF", "GC=F", 1)],
)
def test_yahoo_other_kinds(player: Player, payloads: Path, name: str, symbol: str, count: int):
    [path] = (payloads / "yahoo").glob(f"chart_{name}_1d*.json")
    days = YahooSource(player.plays(path).url, http(player)).candles(symbol, "1d", at("2020-01-01"), at("2020-01-04"))
    assert len(days) == count
    assert (days.index.hour == 0).all()


def test_yahoo_nothing(player: Player, payloads: Path):
    source = YahooSource(player.url, http(player))
    player.plays(payloads / "yahoo/chart_AAPL_1m_weekend_empty.json")
    assert source.candles("AAPL", "1m", at("2025-02-01"), at("2025-02-02")).empty
    player.plays(payloads / "yahoo/chart_error_not_found.json", status=404)
    with pytest.raises(UnknownInstrument, match="it has no NOSUCH: No data found, symbol may be delisted"):
        source.candles("NOSUCH", "1d", at("2025-02-01"), at("2025-02-02"))


FORMS = {
    "bybit": [
        ("kline", "bybit/rest/kline_spot_BTCUSDT_D_testnet_200rows.json"),
        ("tickers", "bybit/rest/tickers_spot_BTCUSDT.json"),
        ("instruments-info", "bybit/rest/instruments_info_spot.json"),
    ],
    "binance": [
        ("klines", "binance/rest/klines_BTCUSDT_1m.json"),
        ("ticker/24hr", "binance/rest/ticker_24hr_docs.json"),
        ("exchangeInfo", "binance/rest/exchangeInfo_BTCUSDT_ETHUSDT.json"),
    ],
    "yahoo": [("chart/BTC-USD", "yahoo/chart_BTC-USD_1d.json")],
}


def form(value: Any) -> Any:
    """What is what in a JSON value, whatever it says."""
    if isinstance(value, dict):
        return {name: form(each) for name, each in value.items()}
    if isinstance(value, list):
        return [form(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def missing(ours: Any, real: Any, where: str = "") -> list[str]:
    """Where our server sends something that the real one does not, or in another form."""
    if isinstance(ours, dict) and isinstance(real, dict):
        return [
            problem
            for name, value in ours.items()
            for problem in (
                missing(value, real[name], f"{where}.{name}") if name in real else [f"{where}.{name} is ours"]
            )
        ]
    if isinstance(ours, list) and isinstance(real, list):
        return missing(ours[0], real[0], f"{where}[]") if ours and real else []
    return [] if ours == real else [f"{where}: {ours} for {real}"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in FORMS], ids=str)
def test_our_servers_speak_as_the_real_ones_did(kind: Kind, payloads: Path):
    with opened(kind) as venue:
        sent = recorded_bodies(venue)
    for ending, name in FORMS[kind.name]:
        [ours] = [body for path, body in sent.items() if path.endswith(ending)]
        real = json.loads((payloads / name).read_text())
        # Named since 2023, when MIN_NOTIONAL was given up; and days have no rest of the day before.
        assert [problem for problem in missing(form(ours), form(real)) if "filters" not in problem] == []


def recorded_bodies(venue: Venue) -> dict[str, Any]:
    venue.trades(5, "1d")
    sent: dict[str, bytes] = {}
    answer = venue.server.answer

    def listening(request: Request, fault: Fault) -> Reply:
        reply = answer(request, fault)
        sent[request.path] = reply.body
        return reply

    venue.server.answer = listening  # type: ignore[method-assign]
    venue.source.candles(venue.symbol, "1d", venue.clock.now - timedelta(days=4), venue.clock.now)
    if venue.kind.name != "yahoo":
        venue.source.quote(venue.symbol)
        venue.source.terms(venue.symbol)
    return {path: json.loads(body) for path, body in sent.items() if body.startswith((b"{", b"["))}
