"""Whether a source has rescaled a series, as Yahoo does with all past prices after a split."""

import numpy as np
import numpy.typing as npt
from django.db import transaction

from market.errors import MarketError
from market.models import Candle, CandleGap, CandleRevision, Symbol
from market.services import store_candles
from market.sources.base import FetchedCandles, Prices, Source

Array = npt.NDArray[np.float64]

PRICE_COLUMNS = 4
# The smallest splits are shares given as a dividend: 21 for 20 is 4.8 %.
SMALLEST_SPLIT = 0.02
# Prices are rounded to a cent after they have been divided.
ROUNDING = 0.004


class Rescaled(MarketError):
    """A source reports stored candles on another scale: later ones would not belong to the same series."""

    def __init__(self, source: str, series: str, factor: float) -> None:
        super().__init__(
            f"{source} has rescaled {series} by {factor:.6g}, as after a split: the stored candles are of another "
            "scale, and nothing is added to them. `./photon restart_series` fetches them anew"
        )
        self.factor = factor


def scale_between(stored: Array, reported: Array) -> float | None:
    """The one factor from stored to reported prices of the same candles, or None where there is none.

    Rows are candles, columns open, high, low, close and more. All prices of all candles must agree: one corrected
    candle is no scale.
    """
    if not len(stored):
        return None
    ratios = reported[:, :PRICE_COLUMNS] / stored[:, :PRICE_COLUMNS]
    factor = float(np.median(ratios))
    uniform = bool((np.abs(ratios / factor - 1) <= ROUNDING).all())
    return factor if uniform and abs(factor - 1) > SMALLEST_SPLIT else None


def refuse_another_scale(source: Source, series: str, stored: Array, reported: Array) -> None:
    """Raises Rescaled. Of a source that does not adjust its prices, another scale is a revision like any other."""
    if source.prices is not Prices.SPLIT_ADJUSTED:
        return
    factor = scale_between(stored, reported)
    if factor is not None:
        raise Rescaled(source.name, series, factor)


@transaction.atomic
def restart(symbol: Symbol, interval: str, fetched: FetchedCandles) -> int:
    """Replaces all that is stored of the series by the fetched candles, and returns how many they are.

    The one exception to "a stored candle stays": the old scale no longer matches the source.
    Raises CandleError, for no candles too, and has then changed nothing.
    """
    for model in (CandleRevision, CandleGap, Candle):
        model.objects.filter(symbol=symbol, interval=interval).delete()
    return store_candles(symbol, interval, fetched.candles, fetched.source.name)
