"""A long one-minute series for benchmarks, drawn from a short real one.

Blocks of neighbouring candles are drawn with replacement, so that calm and stormy hours stay together; their returns
lose their mean, so that a million candles end near the price that they began with. The same seed gives the same file.
In a volatile series they are VOLATILE times as large, and each candle takes back PULL of the way that the logarithm of
the price went from its start: else a million of them would end at nothing, or beyond any price. Over the 50 candles of
a slow average that is half a percent of this way.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

PROJECT = Path(__file__).resolve().parents[2]
SYMBOL, INTERVAL = "BENCHUSDT", "1m"
ROWS, SEED, BLOCK = 1_000_000, 7, 240
START_PRICE, DECIMALS = 40_000.0, 2
VOLATILE, PULL = 8.0, 1e-4

Array = npt.NDArray[np.float64]


def source_file() -> Path:
    """A real one-minute series if there is one, or else a series that ships with the project."""
    folder = Path(os.environ.get("PHOTON_TEST_DATA") or PROJECT.parent / "shared" / "data")
    real = folder / "BTCPERP_1m.csv"
    return real if real.is_file() else PROJECT / "data" / "EURUSD_1h.csv"


def bootstrapped(source: pd.DataFrame, rows: int, seed: int, volatile: bool = False) -> pd.DataFrame:
    """`rows` candles one minute apart: open, high, low and close in cents, and volume."""
    logs = np.log(source[["open", "high", "low", "close"]].to_numpy())
    before, shapes = logs[:-1, [3]], logs[1:]
    moves = shapes - before
    moves -= moves[:, 3].mean()
    drawn = _blocks(len(moves), rows, np.random.default_rng(seed))
    steps = moves[drawn]
    if volatile:
        steps = VOLATILE * steps
        last = np.log(START_PRICE) + np.concatenate([[0.0], (1 - PULL) * lfilter([1], [1, PULL - 1], steps[:-1, 3])])
    else:
        last = np.log(START_PRICE) + np.concatenate([[0.0], np.cumsum(steps[:-1, 3])])
    prices = np.exp(last[:, None] + steps).round(DECIMALS)
    index = pd.date_range("2020-01-01", periods=rows, freq="min", tz="UTC", name="timestamp")
    return _candles(prices, source["volume"].to_numpy()[1:][drawn], index)


def write(folder: Path, rows: int = ROWS, seed: int = SEED, volatile: bool = False, symbol: str = SYMBOL) -> Path:
    """The file of such a series in a folder; one that is there already is kept."""
    name = f"{source_file().stem}-{rows}-{seed}" + ("-volatile" if volatile else "")
    path = folder / name / "data" / f"{symbol}_{INTERVAL}.csv"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    source = pd.read_csv(source_file())
    unfinished = path.with_suffix(".part")
    bootstrapped(source, rows, seed, volatile).to_csv(unfinished, date_format="%Y-%m-%dT%H:%M:%SZ")
    unfinished.replace(path)
    return path


def _blocks(candles: int, rows: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    firsts = rng.integers(0, candles - BLOCK, size=-(-rows // BLOCK))
    drawn: npt.NDArray[np.int64] = (firsts[:, None] + np.arange(BLOCK)).ravel()[:rows]
    return drawn


def _candles(prices: Array, volume: Array, index: pd.DatetimeIndex) -> pd.DataFrame:
    open_, high, low, close = prices.T
    columns = {
        "open": open_,
        "high": np.maximum(high, np.maximum(open_, close)),
        "low": np.minimum(low, np.minimum(open_, close)),
        "close": close,
        "volume": volume,
    }
    return pd.DataFrame(columns, index=index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the file is kept")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    print(write(given.folder, given.rows, given.seed))


if __name__ == "__main__":
    main()
