"""The window kept in memory is what the table holds, whoever stores candles meanwhile."""

import numpy as np
import pandas as pd
import pytest

from market.models import Candle, Symbol
from market.services import add_symbol, store_candles
from market.sessions import times_of
from market.window import CandleWindow

pytestmark = pytest.mark.django_db
LENGTH = 5


def candles(first: int, count: int) -> pd.DataFrame:
    index = pd.date_range("2026-01-05", periods=first + count, freq="h", tz="UTC", name="open_time")[first:]
    closes = 100.0 + np.arange(first, first + count)
    columns = {"open": closes, "high": closes + 1, "low": closes - 1, "close": closes, "volume": closes}
    return pd.DataFrame(columns, index=index)


def stored(*frames: pd.DataFrame) -> Symbol:
    symbol = add_symbol("BTCUSDT")
    for frame in frames:
        store_candles(symbol, "1h", frame, "test")
    return symbol


def followed(window: CandleWindow, symbol: Symbol, fresh: pd.DataFrame) -> CandleWindow | None:
    return window.followed_by(symbol, "1h", "test", times_of(fresh.index), fresh.to_numpy())


@pytest.mark.parametrize("count", [1, 2, LENGTH + 2])
@pytest.mark.parametrize("known", [2, LENGTH, LENGTH + 3])
def test_a_window_that_goes_on_is_the_one_that_is_read(known: int, count: int) -> None:
    symbol, fresh = stored(candles(0, known)), candles(known, count)
    window = followed(CandleWindow.stored(symbol, "1h", LENGTH), symbol, fresh)
    read = CandleWindow.stored(symbol, "1h", LENGTH)
    assert window is not None
    assert (window.times == read.times).all()
    assert (window.values == read.values).all()
    assert window.newest == fresh.index[-1]
    assert Candle.objects.count() == known + count


def test_it_goes_on_with_a_candle_that_is_stored_already() -> None:
    symbol = stored(candles(0, 3))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(3, 1), "test")
    assert followed(window, symbol, candles(3, 1)) is not None
    assert Candle.objects.count() == 4


def test_a_candle_that_is_filled_in_behind_it_is_noticed() -> None:
    symbol = stored(candles(0, 2), candles(3, 1))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(2, 1), "test")
    assert followed(window, symbol, candles(4, 1)) is None


def test_a_candle_that_another_has_stored_before_it_is_noticed() -> None:
    symbol = stored(candles(0, LENGTH))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(LENGTH, 1), "test")
    assert followed(window, symbol, candles(LENGTH + 1, 1)) is None


def test_it_does_not_go_back() -> None:
    symbol = stored(candles(0, 3))
    assert followed(CandleWindow.stored(symbol, "1h", LENGTH), symbol, candles(2, 1)) is None
