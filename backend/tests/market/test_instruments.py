from decimal import Decimal

import pandas as pd
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from engine.orders import CENT, Instrument
from market.errors import SymbolError
from market.instruments import inferred_tick, instrument_for, money_step, stored_instrument
from market.models import Symbol
from market.services import add_symbol

pytestmark = pytest.mark.django_db

D = Decimal


def history(*closes: float) -> pd.DataFrame:
    index = pd.date_range("2024-03-01", periods=len(closes), freq="h", tz="UTC", name="open_time")
    prices = {name: [float(close) for close in closes] for name in ("open", "high", "low", "close")}
    return pd.DataFrame({**prices, "volume": [0.123456789] * len(closes)}, index=index)


@pytest.mark.parametrize(
    ("symbol", "price", "tick", "lot", "notional", "money"),
    [
        ("BTCUSDT", 42506.43, "0.01", "0.00001", "5", "0.01"),
        ("PEPEUSDT", 0.00000439, "0.00000001", "0.00001", "5", "0.01"),
        ("ETHBTC", 0.051234, "0.000001", "0.00001", "0.0001", "0.00000001"),
        ("GOOG", 100.0, "0.01", "1", "0", "0.01"),
        ("EURUSD", 1.05236, "0.00001", "1", "0", "0.01"),
    ],
)
def test_an_unknown_symbol_is_traded_as_its_kind_usually_is(
    symbol: str, price: float, tick: str, lot: str, notional: str, money: str
):
    expected = Instrument(symbol, D(tick), D(lot), D(notional), D(money))
    assert instrument_for(symbol.lower(), history(price)) == expected


def test_what_the_venue_stated_comes_first():
    Symbol.objects.create(symbol="BTCUSDT", kind="crypto", price_tick=D("0.5"), lot_step=D(10), minimum_notional=D(0))
    instrument = instrument_for("BTCUSDT", history(42506.43))
    assert instrument == Instrument("BTCUSDT", D("0.5"), D(10), D(0), D("0.01"))
    # No zeros from the database column: they would show in every price.
    assert [str(step) for step in (instrument.price_tick, instrument.lot_step)] == ["0.5", "10"]
    assert str(instrument.price(instrument.ticks(42506.43))) == "42506.5"


def test_what_the_venue_did_not_state_is_inferred():
    add_symbol("ethusdt")
    Symbol.objects.filter(symbol="ETHUSDT").update(lot_step=D("0.001"))
    instrument = instrument_for("ETHUSDT", history(2500.1234))
    assert (instrument.price_tick, instrument.lot_step, instrument.minimum_notional) == (D("0.0001"), D("0.001"), D(5))


def test_the_tick_is_that_of_the_finest_price():
    assert inferred_tick(history(100, 100.5, 100.125)) == D("0.001")
    assert inferred_tick(history(100, 250)) == D("0.01")
    assert inferred_tick(history(1 / 3)) == D("0.00000001")
    assert inferred_tick(history()) == D("0.01")


def test_the_tick_knows_only_the_history_that_it_is_given():
    candles = history(1.5, 1.25, 1.12345)
    assert inferred_tick(candles.iloc[:2]) == D("0.01")
    assert inferred_tick(candles) == D("0.00001")


@pytest.mark.parametrize("places", range(2, 9))
@pytest.mark.parametrize("size", [1, 1000, 99_999])
def test_every_price_on_a_grid_finds_its_grid(places: int, size: int):
    tick = D(1).scaleb(-places)
    prices = [float(size + number * tick) for number in (1, 3, 7, 9)]
    assert inferred_tick(history(*prices)) == tick


def test_no_instrument_without_a_symbol():
    with pytest.raises(SymbolError):
        instrument_for("../x", history(1))


def test_a_symbol_is_added_once():
    first = add_symbol(" abnb ", "Airbnb")
    assert (first.symbol, first.name, first.kind, first.is_active) == ("ABNB", "Airbnb", "stock", True)
    assert add_symbol("ABNB", "another name") == first
    first.refresh_from_db()
    assert first.name == "Airbnb"


@pytest.mark.parametrize(
    "fields",
    [
        {"symbol": "btcusdt"},
        {"symbol": ""},
        {"kind": "share"},
        {"price_tick": D(0)},
        {"lot_step": D(-1)},
        {"minimum_notional": D(-1)},
    ],
)
def test_the_database_refuses_an_impossible_symbol(fields: dict[str, object]):
    with pytest.raises(IntegrityError):
        Symbol.objects.create(**{"symbol": "BTCUSDT", "kind": "crypto", **fields})


@pytest.mark.parametrize("symbol", ["../x", "A B", "A\n", ""])
def test_the_admin_form_refuses_what_is_no_symbol(symbol: str):
    with pytest.raises(ValidationError):
        Symbol(symbol=symbol, kind="stock").full_clean()


def test_steps_may_be_left_open():
    row = Symbol(symbol="AAPL", kind="stock")
    row.full_clean()
    assert (row.price_tick, row.lot_step, row.minimum_notional) == (None, None, None)
    assert stored_instrument(row, CENT) == Instrument("AAPL", price_tick=CENT, lot_step=D(1))


@pytest.mark.parametrize(
    ("symbol", "step"), [("BTCUSDT", "0.01"), ("AAPL", "0.01"), ("EURUSD", "0.01"), ("ETHBTC", "0.00000001")]
)
def test_money_that_is_a_coin_has_eight_places(symbol: str, step: str):
    assert money_step(symbol) == D(step)
