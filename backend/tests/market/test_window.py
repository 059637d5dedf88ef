"""The window kept in memory is what the table holds, whoever stores candles meanwhile."""

import numpy as np
import pandas as pd
import pytest

from database.candles import Array
from market.calendar.sessions import Times, times_of
from market.models import Candle, Symbol
from market.services import add_symbol, store_candles
from market.window import CandleWindow

pytestmark = pytest.mark.django_db
LENGTH = 5


def candles(first: int, count: int) -> pd.DataFrame:
    index = pd.date_range("2026-01-05", periods=first + count, freq="h", tz="UTC", name="open_time")[first:]
    closes = 100.0 + np.arange(first, first + count)
    columns = {"open": closes, "high": closes + 1, "low": closes - 1, "close": closes, "volume": closes}
    return pd.DataFrame(columns, index=index)


def arrays(frame: pd.DataFrame) -> tuple[Times, Array]:
    return times_of(frame.index), frame.to_numpy()


def stored(*frames: pd.DataFrame) -> Symbol:
    symbol = add_symbol("BTCUSDT")
    for frame in frames:
        store_candles(symbol, "1h", frame, "test")
    return symbol


def goes_on(window: CandleWindow, symbol: Symbol, fresh: pd.DataFrame) -> CandleWindow | None:
    """The window that ends with a candle which is stored now; None where the table holds others than the window."""
    store_candles(symbol, "1h", fresh, "test")
    followed = window.followed_by(*arrays(fresh))
    return followed if followed.is_stored(symbol, "1h") else None


def assert_is_stored(window: CandleWindow | None, symbol: Symbol) -> None:
    read = CandleWindow.stored(symbol, "1h", LENGTH)
    assert window is not None
    assert (window.times == read.times).all()
    assert (window.values == read.values).all()


@pytest.mark.parametrize("known", [2, LENGTH, LENGTH + 3])
def test_a_window_that_goes_on_is_the_one_that_is_read(known: int) -> None:
    symbol = stored(candles(0, known))
    window: CandleWindow | None = CandleWindow.stored(symbol, "1h", LENGTH)
    for number in range(known, known + LENGTH + 2):
        assert window is not None
        window = goes_on(window, symbol, candles(number, 1))
        assert_is_stored(window, symbol)
        assert Candle.objects.count() == number + 1


def test_a_candle_that_is_filled_in_behind_it_is_noticed() -> None:
    symbol = stored(candles(0, 2), candles(3, 1))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(2, 1), "test")
    assert goes_on(window, symbol, candles(4, 1)) is None


def test_a_candle_that_another_has_stored_before_it_is_noticed() -> None:
    symbol = stored(candles(0, LENGTH))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(LENGTH, 1), "test")
    assert goes_on(window, symbol, candles(LENGTH + 1, 1)) is None


def test_what_is_stored_elsewhere_is_not_counted() -> None:
    symbol = stored(candles(0, 3))
    store_candles(symbol, "4h", candles(0, 1), "test")
    store_candles(add_symbol("ETHUSDT"), "1h", candles(0, 3), "test")
    assert goes_on(CandleWindow.stored(symbol, "1h", LENGTH), symbol, candles(3, 1))


def test_a_candle_before_all_others_is_noticed() -> None:
    symbol = stored(candles(1, 3))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(0, 1), "test")
    assert goes_on(window, symbol, candles(4, 1)) is None
