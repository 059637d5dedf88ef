"""A CSV file of a million candles into a frame, beside pandas (pyarrow) and polars in the same run.

    python -m benchmarks.csv_load CACHE [--peers-python PEERS/bin/python]

Photon reads strictly: every line and field is checked, and the candles too. The others only parse. All give times as
instants and numbers as floats; each has a process of its own, one unmeasured read, and its turn in every round. Target:
within 1.5 times the faster of the two.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import median

from benchmarks import candles
from benchmarks.measure import BenchmarkError, run, spread

ROUNDS, READS, TARGET = 5, 3, 1.5
BACKEND = Path(__file__).resolve().parents[1]
TIMED = """
import json, sys, time
path, reads = sys.argv[1], int(sys.argv[2])
{imports}
def read():
    return {read}
assert len(read()) == int(sys.argv[3])
found = []
for _ in range(reads):
    began, worked = time.perf_counter(), time.process_time()
    read()
    found.append((time.perf_counter() - began, time.process_time() - worked))
print(json.dumps({{"seconds": sorted(found)[reads // 2]}}))
"""
READERS = {
    "photon": ("from pathlib import Path; from market.sources import csv_file", "csv_file.read(Path(path), '1m')"),
    "pandas (pyarrow)": (
        "import pandas",
        "pandas.read_csv(path, engine='pyarrow', index_col='timestamp', parse_dates=['timestamp'])",
    ),
    "polars": ("import polars", "polars.read_csv(path, try_parse_dates=True)"),
}


def measured(reader: str, python: str, path: Path, rows: int) -> tuple[float, float]:
    """Seconds by the clock and of the processor, the median read of one process."""
    imports, read = READERS[reader]
    script = TIMED.format(imports=imports, read=read)
    command: list[str | Path] = [python, "-c", script, path, str(READS), str(rows)]
    clock, processor = run(command, path.parent, {"PYTHONPATH": str(BACKEND)}).answer["seconds"]
    return float(clock), float(processor)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cache", type=Path, help="where the file is kept")
    parser.add_argument("--rows", type=int, default=candles.ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peers-python", help="an interpreter that has pandas, pyarrow and polars")
    chosen = parser.parse_args()
    path = candles.write(chosen.cache.resolve(), chosen.rows)
    readers = {name: sys.executable if name == "photon" else chosen.peers_python for name in READERS}
    readers = {name: python for name, python in readers.items() if python}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    try:
        for _ in range(chosen.rounds):
            for name, python in readers.items():
                found[name].append(measured(name, python, path, chosen.rows))
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{chosen.rows:,} candles, {path.stat().st_size / 1e6:.0f} MB, load average {os.getloadavg()[0]:.1f}")
    print(f"{'':18} seconds by the clock            processor seconds")
    for name, pairs in found.items():
        print(f"{name:18} {spread([pair[0] for pair in pairs])}   {spread([pair[1] for pair in pairs])}")
    return verdict(found) if len(found) > 1 else 0


def verdict(found: dict[str, list[tuple[float, float]]]) -> int:
    ratios = {}
    for place, name in enumerate(("by the clock", "of the processor")):
        ours, *theirs = ([pair[place] for pair in pairs] for pairs in found.values())
        ratios[name] = median(mine / min(others) for mine, *others in zip(ours, *theirs, strict=True))
    told = ", ".join(f"{ratio:.2f} {name}" for name, ratio in ratios.items())
    print(f"Photon to the faster of the others: {told}; target {TARGET:g}")
    print(json.dumps(ratios))
    return 0 if ratios["by the clock"] <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
