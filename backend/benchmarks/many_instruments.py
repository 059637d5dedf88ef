"""Ten instruments with a million one-minute candles each, on one account, through `backtest_simulation`.

    python benchmarks/many_instruments.py CACHE [--instruments 10] [--rows 1000000]

CACHE is any folder: the files (70 MB each) are made there at first use. Exit code 1 where the peak memory of the
command is not below the target.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import Run, run

BACKEND = Path(__file__).resolve().parents[1]
INTERVAL = "1m"
PEAK_TARGET = 1000


def symbols(count: int) -> list[str]:
    return [f"BENCH{chr(ord('A') + number)}USDT" for number in range(count)]


def made(folder: Path, count: int, rows: int) -> Path:
    """The folder above the files. Each instrument has a series of its own."""
    # Not before: a process that made a million candles is large.
    from benchmarks import candles

    whole = folder / f"{count}x{rows}"
    (whole / "data").mkdir(parents=True, exist_ok=True)
    for seed, symbol in enumerate(symbols(count), start=100):
        drawn = candles.write(folder, rows, seed, symbol=symbol)
        link = whole / "data" / drawn.name
        if not link.exists():
            link.hardlink_to(drawn)
    return whole


def played(folder: Path, count: int) -> Run:
    """One run over all of them, by equity and with protective levels. Raises BenchmarkError."""
    command: list[str | Path] = [
        sys.executable, BACKEND / "manage.py", "backtest_simulation", "--symbol", ",".join(symbols(count)),
        "--interval", INTERVAL, "--model", "sma_cross",
    ]  # fmt: skip
    return run(command, folder, {"DATABASE_URL": f"sqlite:///{folder / 'benchmark.sqlite3'}"})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the candles are made and kept")
    parser.add_argument("--instruments", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    found = played(made(given.folder.absolute(), given.instruments, given.rows), given.instruments)
    met = found.peak_megabytes < PEAK_TARGET
    print(found.output)
    print(f"{given.instruments} instruments x {given.rows:,} candles: {found.cpu:.1f} CPU s, {found.wall:.1f} s")
    print(
        f"peak {found.peak_megabytes:.0f} MB; target below {PEAK_TARGET} MB: {'met' if met else 'NOT met'}; "
        "of a whole process, imports included"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
