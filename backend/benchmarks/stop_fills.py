"""What a stop that fills at its level flatters, where the price may have jumped over it inside a candle.

    python benchmarks/stop_fills.py [--stops 0.01 0.02 0.05]

A candle that opens above a stop and has its low at or below it fills the stop at its level. Against that stand the
fill at the low of the candle, which is the worst there can be, half of the way to it, and what candles of a finer
interval of the same symbol say: a fill at the open of the first of them that opens beyond the level, else at the level,
and at the worst at the low of the finer candle that reached it. Every candle is an entry at its open. Basis points are
of the level. The series are the real ones in PHOTON_TEST_DATA, or those that ship with the project.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.candles import source_file

INTERVALS = {"1m": "1min", "5m": "5min", "15m": "15min", "1h": "1h", "1d": "1D"}
LONGEST_HOLD = 5_000

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stops:
    """Stops that were reached: the row of the candle, the level, and where its candle opened."""

    rows: Rows
    levels: Array
    inside: npt.NDArray[np.bool_]

    def basis_points(self, prices: Array) -> Array:
        """How far prices lie below the levels."""
        return 1e4 * (self.levels - prices) / self.levels


def reached(candles: pd.DataFrame, distance: float) -> Stops:
    """The first candle that reaches the stop of an entry at each open; a candle may stop its own entry."""
    opens, lows = candles["open"].to_numpy(), candles["low"].to_numpy()
    levels, rows = opens * (1 - distance), np.full(len(opens), -1)
    for entry, level in enumerate(levels):
        hit = lows[entry : entry + LONGEST_HOLD] <= level
        if hit.any():
            rows[entry] = entry + int(hit.argmax())
    found = rows >= 0
    rows, levels = rows[found], levels[found]
    return Stops(rows, levels, opens[rows] > levels)


def inside_only(stops: Stops) -> Stops:
    return Stops(stops.rows[stops.inside], stops.levels[stops.inside], stops.inside[stops.inside])


def by_finer(stops: Stops, coarse: pd.DataFrame, fine: pd.DataFrame, length: pd.Timedelta) -> tuple[Array, Array]:
    """The prices at which finer candles fill stops inside a candle, and the lows of those that reach them."""
    opens, lows = fine["open"].to_numpy(), fine["low"].to_numpy()
    times = pd.DatetimeIndex(coarse.index[stops.rows])
    firsts, lasts = fine.index.searchsorted(times), fine.index.searchsorted(times + length)
    fills, worst = np.empty(len(stops.rows)), np.empty(len(stops.rows))
    for number, (first, last, level) in enumerate(zip(firsts, lasts, stops.levels, strict=True)):
        row = first + int((lows[first:last] <= level).argmax())
        fills[number], worst[number] = min(opens[row], level), lows[row]
    return fills, worst


def coarser(fine: pd.DataFrame, interval: str) -> pd.DataFrame:
    """The candles of a longer interval, on the grid of UTC."""
    columns = {"open": "first", "high": "max", "low": "min", "close": "last"}
    return fine.resample(INTERVALS[interval]).agg(columns).dropna()


def series(folder: Path) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Symbol, interval and candles of each file."""
    for path in sorted(folder.glob("*_*.csv")):
        symbol, _, interval = path.stem.rpartition("_")
        if interval in INTERVALS:
            yield symbol, interval, pd.read_csv(path, index_col="timestamp", parse_dates=True)


def show_levels(known: list[tuple[str, str, pd.DataFrame]], distances: list[float]) -> None:
    print("Stops inside a candle: basis points below the level")
    heads = ("stops", "opened beyond", "low, mean", "median", "95 %", "half of the way, mean")
    print(f"{'interval':9}{'stop':>6}" + "".join(f"{head:>{len(head) + 3}}" for head in heads))
    for interval in INTERVALS:
        for distance in distances:
            below, beyond = list[Array](), 0
            for _, found, candles in known:
                if found == interval:
                    stops = reached(candles, distance)
                    inside = inside_only(stops)
                    beyond += len(stops.rows) - len(inside.rows)
                    below.append(inside.basis_points(candles["low"].to_numpy()[inside.rows]))
            every = np.concatenate(below) if below else np.empty(0)
            if every.size:
                figures = (every.mean(), np.median(every), np.quantile(every, 0.95), every.mean() / 2)
                columns = [str(every.size), str(beyond), *(f"{figure:.1f}" for figure in figures)]
                words = "".join(f"{word:>{len(head) + 3}}" for word, head in zip(columns, heads, strict=True))
                print(f"{interval:9}{distance:>6.1%}{words}")


def show_finer(known: list[tuple[str, str, pd.DataFrame]], distances: list[float]) -> None:
    print("\nThe same stops by finer candles of the same symbols: basis points below the level, means")
    heads = ("stops", "low", "filled", "jumped over, %", "low of the finer candle")
    print(f"{'interval':9}{'finer':6}{'stop':>6}" + "".join(f"{head:>{len(head) + 3}}" for head in heads))
    for interval, finer in [(long, short) for long in INTERVALS for short in INTERVALS if long != short]:
        fines = [fine for _, found, fine in known if found == finer]
        if pd.Timedelta(INTERVALS[finer]) > pd.Timedelta(INTERVALS[interval]):
            continue
        for distance in distances:
            found = np.hstack([beside_finer(fine, interval, distance) for fine in fines] or [np.empty((3, 0))])
            if found.size:
                low, filled, bound = found.mean(axis=1)
                figures = (f"{low:.1f}", f"{filled:.3f}", f"{100 * np.mean(found[1] > 0):.2f}", f"{bound:.1f}")
                columns = [str(found.shape[1]), *figures]
                words = "".join(f"{word:>{len(head) + 3}}" for word, head in zip(columns, heads, strict=True))
                print(f"{interval:9}{finer:6}{distance:>6.1%}{words}")


def beside_finer(fine: pd.DataFrame, interval: str, distance: float) -> Array:
    """(3, stops) basis points below the level: the low of the candle, the fill by finer candles, and their low."""
    coarse = coarser(fine, interval)
    stops = inside_only(reached(coarse, distance))
    fills, worst = by_finer(stops, coarse, fine, pd.Timedelta(INTERVALS[interval]))
    lows = coarse["low"].to_numpy()[stops.rows]
    return np.stack([stops.basis_points(prices) for prices in (lows, fills, worst)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stops", type=float, nargs="+", default=[0.01, 0.02, 0.05], help="fractions below the entry")
    given = parser.parse_args()
    known = list(series(source_file().parent))
    show_levels(known, given.stops)
    show_finer(known, given.stops)


if __name__ == "__main__":
    main()
