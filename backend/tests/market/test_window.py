"""The window kept in memory is what the table holds, whoever stores candles meanwhile."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from market.calendar.sessions import Times, times_of
from market.candle_table import Array
from market.models import Candle, Symbol
from market.services import add_symbol, store_candles
from market.statements import Inserted
from market.window import CandleWindow
from trading.models import Message

pytestmark = pytest.mark.django_db
LENGTH = 5
MESSAGES = Inserted(Message, "ON CONFLICT DO NOTHING")


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


def tells_of(window: CandleWindow, symbol: Symbol, fresh: pd.DataFrame) -> CandleWindow | None:
    """The window that ends with a candle, stored and told; None where it is neither."""
    followed = window.followed_by(*arrays(fresh))
    message = Message(key=f"{fresh.index[-1]}", symbol=symbol, interval="1h", payload={"candle": 1.5})
    stored, told = Candle.objects.count(), Message.objects.count()
    if followed.store_newest(symbol, "1h", "test", MESSAGES, message):
        assert Message.objects.get(pk=message.pk).payload == {"candle": 1.5}
        assert not message._state.adding
        return followed
    assert (Candle.objects.count(), Message.objects.count()) == (stored, told)
    return None


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
        window = tells_of(window, symbol, candles(number, 1))
        assert_is_stored(window, symbol)
        assert Candle.objects.count() == number + 1


def test_a_candle_is_stored_as_it_is_by_all_others() -> None:
    symbol = stored(candles(0, 2))
    assert tells_of(CandleWindow.stored(symbol, "1h", LENGTH), symbol, candles(2, 1))
    store_candles(symbol, "1h", candles(3, 1), "test")
    told, other = Candle.objects.order_by("-open_time")[1], Candle.objects.order_by("-open_time")[0]
    assert (told.interval, told.source, told.volume) == (other.interval, other.source, other.volume - 1)
    assert told.open_time == candles(2, 1).index[0]
    assert other.first_seen - told.first_seen < timedelta(minutes=1)


def test_it_tells_of_a_candle_that_is_stored_already() -> None:
    symbol = stored(candles(0, 3))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(3, 2), "test")
    followed = tells_of(window, symbol, candles(3, 1))
    assert followed is not None
    assert followed.newest == candles(3, 1).index[-1]
    assert Candle.objects.count() == 5


def test_a_message_that_stands_already_stays_as_it_is() -> None:
    symbol = stored(candles(0, 3))
    window = CandleWindow.stored(symbol, "1h", LENGTH).followed_by(*arrays(candles(3, 1)))
    Message.objects.create(key="told", symbol=symbol, interval="1h", payload={"first": True})
    again = Message(key="told", symbol=symbol, interval="1h", payload={"first": False})
    assert window.store_newest(symbol, "1h", "test", MESSAGES, again)
    assert again.pk is None
    assert Message.objects.get().payload == {"first": True}


def test_a_candle_that_is_filled_in_behind_it_is_noticed() -> None:
    symbol = stored(candles(0, 2), candles(3, 1))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(2, 1), "test")
    assert tells_of(window, symbol, candles(4, 1)) is None


def test_a_candle_that_another_has_stored_before_it_is_noticed() -> None:
    symbol = stored(candles(0, LENGTH))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(LENGTH, 1), "test")
    assert tells_of(window, symbol, candles(LENGTH + 1, 1)) is None


def test_what_is_stored_elsewhere_is_not_counted() -> None:
    symbol = stored(candles(0, 3))
    store_candles(symbol, "4h", candles(0, 1), "test")
    store_candles(add_symbol("ETHUSDT"), "1h", candles(0, 3), "test")
    assert tells_of(CandleWindow.stored(symbol, "1h", LENGTH), symbol, candles(3, 1))


def test_a_candle_before_all_others_is_noticed() -> None:
    symbol = stored(candles(1, 3))
    window = CandleWindow.stored(symbol, "1h", LENGTH)
    store_candles(symbol, "1h", candles(0, 1), "test")
    assert tells_of(window, symbol, candles(4, 1)) is None
