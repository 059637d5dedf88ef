"""After a split, Yahoo's past is of another scale: what is stored and what comes must not become one series."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.candles import CandleError
from market.ingestion.candles import ingest
from market.ingestion.rescaling import Rescaled, restart, scale_between
from market.models import Candle, CandleRevision, Symbol
from market.selectors import candle_frame
from market.sources.base import FetchedCandles, Prices
from tests.market.known_source import KnownSource
from tests.markets import random_candles

TRUTH = random_candles(60)
PRICES = ["open", "high", "low", "close"]


class YahooLike(KnownSource):
    prices = Prices.SPLIT_ADJUSTED

    def split(self, divisor: float) -> "YahooLike":
        reported = self.reported.copy()
        reported[PRICES] = (reported[PRICES] / divisor).round(4)
        return YahooLike(reported, self.name, self.intervals)


def after(hours: int):
    return TRUTH.index[0].to_pydatetime() + timedelta(hours=hours, seconds=5)


@pytest.fixture
def symbol(db) -> Symbol:
    return Symbol.objects.create(symbol="BTCUSD", kind="crypto")


@pytest.mark.parametrize("divisor", [4.0, 1.5, 0.05, 1.05])
def test_a_split_stops_the_series_and_says_so(symbol: Symbol, divisor: float):
    source = YahooLike(TRUTH, "yahoo")
    ingest(symbol, "1h", source.fetch, after(50))
    with pytest.raises(Rescaled, match=r"yahoo has rescaled BTCUSD 1h by .*, as after a split") as caught:
        ingest(symbol, "1h", source.split(divisor).fetch, after(52))
    assert caught.value.factor == pytest.approx(1 / divisor, rel=0.004)
    assert Candle.objects.count() == 50
    assert not CandleRevision.objects.exists()
    # The series goes on if the source takes it back.
    assert ingest(symbol, "1h", source.fetch, after(52)).new == 2


def test_a_series_is_restarted_whole_or_not_at_all(symbol: Symbol):
    source = YahooLike(TRUTH, "yahoo")
    ingest(symbol, "1h", source.fetch, after(50))
    reported = source.split(4.0)
    with pytest.raises(CandleError):
        restart(symbol, "1h", FetchedCandles(reported.reported.iloc[:0], reported))
    assert Candle.objects.count() == 50
    assert restart(symbol, "1h", FetchedCandles(reported.reported.iloc[:52], reported)) == 52
    assert candle_frame(symbol, "1h")["close"].tolist() == reported.reported["close"].iloc[:52].tolist()
    assert ingest(symbol, "1h", reported.fetch, after(55)).new == 3


def test_a_corrected_candle_is_a_revision(symbol: Symbol):
    source = YahooLike(TRUTH, "yahoo")
    ingest(symbol, "1h", source.fetch, after(50))
    reported = TRUTH.copy()
    reported.loc[reported.index[49], PRICES] *= 1.3
    assert ingest(symbol, "1h", YahooLike(reported, "yahoo").fetch, after(51)).revised == 1


def test_an_exchange_does_not_rescale(symbol: Symbol):
    ingest(symbol, "1h", KnownSource(TRUTH).fetch, after(50))
    reported = TRUTH.copy()
    reported[PRICES] *= 2
    assert ingest(symbol, "1h", KnownSource(reported).fetch, after(51)).revised == 3


@given(st.floats(0.01, 100.0), st.integers(1, 3))
def test_a_scale_is_found_from_one_candle_on(factor: float, rows: int):
    stored = TRUTH.to_numpy()[:rows]
    reported = np.column_stack([stored[:, :4] * factor, stored[:, 4:]])
    found = scale_between(stored, reported)
    if abs(factor - 1) <= 0.02:
        assert found is None
    else:
        assert found == pytest.approx(factor)


def test_nothing_in_common_has_no_scale():
    assert scale_between(np.empty((0, 5)), np.empty((0, 5))) is None
