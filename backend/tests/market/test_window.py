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


@pytest.mark.parametrize("known", [2, LENGTH, LENGTH + 3])
def test_a_window_that_goes_on_is_the_one_that_is_read(known: int) -> None:
    symbol, fresh = stored(candles(0, known)), candles(known, 2)
    window = CandleWindow.stored(symbol, "1h", LENGTH).followed_by(times_of(fresh.index), fresh.to_numpy())
    assert not window.is_stored(symbol, "1h")
    store_candles(symbol, "1h", fresh, "test")
    read = CandleWindow.stored(symbol, "1h", LENGTH)
    assert window.is_stored(symbol, "1h")
    assert (window.times == read.times).all()
    assert (window.values == read.values).all()
    assert window.newest == fresh.index[-1]


def test_a_candle_that_is_filled_in_behind_it_is_noticed() -> None:
    symbol = stored(candles(0, 2), candles(3, 1))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    assert window.is_stored(symbol, "1h")
    store_candles(symbol, "1h", candles(2, 1), "test")
    assert not window.is_stored(symbol, "1h")
    assert Candle.objects.count() == 4
