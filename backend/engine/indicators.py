"""Technical indicators, each a function of a bounded window of candles.

The same window gives the same bits wherever the array begins, so that a live agent that loads the last `WINDOW` candles
computes what a back-test over years computes. Averages and deviations are summed window by window, in an order that
depends on the window's length alone; TA-Lib's running sums are not used for them. RSI and MACD are recursive: over
`WINDOW` candles the start-up value fades below the last bit of a double.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import talib

from engine.orders import Array as Array

WINDOW = 1000
"""Candles that a live agent has to load to compute the indicators of full history."""

STILL_AFTER = 250
"""Candles without any change of price after which there is no momentum.

The averages inside RSI and MACD decay without end in an unchanged market, until they are a ratio of rounding errors.
At the next change they start anew: their state would only depend on rounding.
"""

# Unchanged candles that seed RSI and MACD for the candle of the next change; MACD needs 33.
_SEED = 40

INDICATORS = (
    "sma10",
    "sma20",
    "sma50",
    "rsi14",
    "macd",
    "macd_signal",
    "macd_hist",
    "bollinger_upper",
    "bollinger_lower",
    "percent_b",
    "volatility",
    "price_change",
    "volume_mean20",
)

# Rows worked on at a time, so that the passes over them stay in the processor's cache.
_BLOCK = 8192


def indicators(candles: pd.DataFrame) -> pd.DataFrame:
    """The columns INDICATORS for a candle frame of n rows, on the same index; NaN while warming up."""
    columns = indicator_columns(candles["close"].to_numpy(), candles["volume"].to_numpy())
    return pd.DataFrame(columns, index=candles.index)


def indicator_columns(close: Array, volume: Array, newest: int | None = None) -> dict[str, Array]:
    """INDICATORS of n candles, or of the newest of them, each (n,); NaN while warming up.

    Of the newest candles all but the recursive indicators are computed without those before, so the first rows of
    averages are NaN then.
    """
    recursive = [rsi(close), *momentum(close)]
    if newest is not None:
        close, volume, *recursive = (line[-newest:] for line in (close, volume, *recursive))
    rsi14, macd, macd_signal, macd_hist = recursive
    sma20, volatility = sma(close, 20), deviation(close, 20)
    upper, lower, percent_b = bollinger(close, sma20, volatility)
    values = (
        sma(close, 10),
        sma20,
        sma(close, 50),
        rsi14,
        macd,
        macd_signal,
        macd_hist,
        upper,
        lower,
        percent_b,
        volatility,
        price_change(close),
        sma(volume, 20),
    )
    return dict(zip(INDICATORS, values, strict=True))


def sma(values: Array, length: int) -> Array:
    """Simple moving average; of equal values, it is that value."""
    result = np.full(values.size, np.nan)
    rows = values.size - length + 1
    for first in range(0, max(rows, 0), _BLOCK):
        end = min(first + _BLOCK, rows) + length - 1
        result[first + length - 1 : end] = window_sum(values[first:end], length)[length - 1 :]
    result /= length
    for first, end in _constant(values, length):
        result[first:end] = values[first]
    return result


def rsi(close: Array) -> Array:
    """Relative Strength Index over 14 candles, 0 to 100 (J. Welles Wilder, New Concepts in Technical Trading, 1978)."""
    if close.size == 0:
        return close
    (line,) = _since_waking(lambda part: (talib.RSI(part, 14),), close)
    # In a market that only falls, the last gain fades without end, differently in a window: rounded away.
    return _settled(line.round(10), _still(close), 50.0)


def momentum(close: Array) -> tuple[Array, Array, Array]:
    """MACD 12/26, its 9-candle signal line, and their difference, in units of price (Gerald Appel, 1979)."""
    if close.size == 0:
        return close, close, close
    still = _still(close)
    lines = _since_waking(lambda part: talib.MACD(part, 12, 26, 9), close)
    macd, signal, hist = (_settled(line, still, 0.0) for line in lines)
    return macd, signal, hist


def deviation(values: Array, length: int) -> Array:
    """Standard deviation of the last `length` values, of a sample (divided by length - 1), in their own unit."""
    result = np.full(values.size, np.nan)
    rows = values.size - length + 1
    for first in range(0, max(rows, 0), _BLOCK):
        count = min(_BLOCK, rows - first)
        block = values[first : first + count + length - 1]
        mean = window_sum(block, length)[length - 1 :] / length
        squares, distance = np.zeros(count), np.empty(count)
        for offset in range(length):
            np.subtract(block[offset : offset + count], mean, out=distance)
            np.multiply(distance, distance, out=distance)
            squares += distance
        result[first + length - 1 : first + length - 1 + count] = np.sqrt(squares / (length - 1))
    for first, end in _constant(values, length):
        result[first:end] = 0.0
    return result


def bollinger(close: Array, sma20: Array, deviation20: Array) -> tuple[Array, Array, Array]:
    """Upper and lower band two population deviations away from the mean, and %b: 0 on the lower band, 1 on the upper.

    %b is 0.5 where the bands meet. Source: John Bollinger, Bollinger on Bollinger Bands, 2001.
    """
    width = 2.0 * np.sqrt(19.0 / 20.0) * deviation20
    upper, lower = sma20 + width, sma20 - width
    span = upper - lower
    percent_b = np.divide(close - lower, span, out=np.full(close.size, 0.5), where=span != 0)
    return upper, lower, np.where(np.isnan(span), np.nan, percent_b)


def price_change(close: Array) -> Array:
    """Change of the close against the candle before, as a fraction of it."""
    result = np.full(close.size, np.nan)
    result[1:] = close[1:] / close[:-1] - 1.0
    return result


def window_sum(values: Array, length: int) -> Array:
    """The sum of the last `length` values, NaN for the first length - 1 rows.

    Sums of one, two, four, eight ... neighbours are made by doubling and put together by the binary digits of the
    length: a few passes, and an order of additions that does not depend on where the array begins.
    """
    result = np.full(values.size, np.nan)
    rows = values.size - length + 1
    if rows < 1:
        return result
    block, size, start = values, 1, 0
    total = result[length - 1 :]
    total[:] = 0.0
    while True:
        if length & size:
            total += block[start : start + rows]
            start += size
        if 2 * size > length:
            return result
        block = block[:-size] + block[size:]
        size *= 2


def _constant(values: Array, length: int) -> list[tuple[int, int]]:
    """First and end of the rows whose last `length` values are equal.

    The rounding error of their sum would be a trend, and as the divisor of a feature would raise it to 1e12.
    """
    # Equal neighbours are few, and only they are examined.
    equal = np.flatnonzero(values[1:] == values[:-1])
    if equal.size < max(length - 1, 1):
        return []
    breaks = np.flatnonzero(np.diff(equal) > 1)
    first, last = equal[np.append(0, breaks + 1)], equal[np.append(breaks, -1)]
    long = last - first >= length - 2
    return [(start + length - 1, end + 2) for start, end in zip(first[long].tolist(), last[long].tolist(), strict=True)]


def _still(close: Array) -> npt.NDArray[np.bool_]:
    """Where the price has not changed for STILL_AFTER candles, or not once since the array began."""
    rows = np.arange(close.size)
    moved = np.zeros(close.size, dtype=bool)
    moved[1:] = close[1:] != close[:-1]
    return rows - np.maximum.accumulate(np.where(moved, rows, -STILL_AFTER)) >= STILL_AFTER


def _settled(line: Array, still: npt.NDArray[np.bool_], value: float) -> Array:
    return np.where(still & ~np.isnan(line), value, line)


def _since_waking(indicator: Callable[[Array], tuple[Array, ...]], close: Array) -> list[Array]:
    """The lines of a recursive indicator, each piece between two unchanged stretches computed by itself."""
    still = _still(close)
    wakes = (np.flatnonzero(still[:-1] & ~still[1:]) + 1).tolist()
    pieces = []
    for first, end in zip([0, *wakes], [*wakes, close.size], strict=True):
        seed = max(first - _SEED, 0)
        pieces.append([line[first - seed :] for line in indicator(close[seed:end])])
    return [np.concatenate(lines) for lines in zip(*pieces, strict=True)]
