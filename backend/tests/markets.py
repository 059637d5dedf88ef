"""Candles for tests: real ones by name, and made ones from a list of closes."""

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from hypothesis import strategies as st

from engine.candles import validate

Array = npt.NDArray[np.float64]


@cache
def real_candles(folder: Path, name: str) -> pd.DataFrame:
    """A real series such as "BTCUSDT_1h". Shared between tests: copy it before changing it."""
    return validate(pd.read_csv(folder / f"{name}.csv", index_col="timestamp", parse_dates=True))


def made_candles(close: Array | list[float], volume: Array | float = 1.0) -> pd.DataFrame:
    """Hourly candles that open at the close before."""
    close = np.asarray(close, dtype=np.float64)
    opened = np.concatenate([close[:1], close[:-1]])
    columns = {
        "open": opened,
        "high": np.maximum(opened, close),
        "low": np.minimum(opened, close),
        "close": close,
        "volume": np.broadcast_to(volume, close.shape).astype(np.float64),
    }
    return pd.DataFrame(columns, index=pd.date_range("2024-01-01", periods=close.size, freq="h", tz="UTC"))


def random_walk(rows: int, seed: int = 0, start: float = 100.0, step: float = 0.01) -> Array:
    return start * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, step, rows)))


def random_candles(rows: int, seed: int = 0) -> pd.DataFrame:
    volume = np.random.default_rng(seed + 1).uniform(0.5, 2.0, rows)
    return made_candles(random_walk(rows, seed), volume)


def closes(smallest: int = 1, largest: int = 120) -> st.SearchStrategy[Array]:
    """Prices with many equal neighbours, of any size."""
    steps = st.lists(st.sampled_from([0.9, 0.99, 1.0, 1.0, 1.01, 1.1]), min_size=smallest, max_size=largest)
    starts = st.floats(1e-6, 1e6)
    return st.builds(lambda start, factors: start * np.cumprod(factors), starts, steps)


def assert_same_bits(left: Array, right: Array) -> None:
    """Equal shapes and equal numbers to the last bit; a NaN equals a NaN."""
    np.testing.assert_array_equal(np.asarray(left), np.asarray(right), strict=True)
