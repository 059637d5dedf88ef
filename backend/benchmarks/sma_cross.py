"""SMA 10/50 crossover over a million one-minute candles: Photon beside vectorbt and backtesting.py.

Cold is a whole process, from the start of Python to the printed result; the engines take turns. Warm is a round in a
process that has played two before. CPU seconds are user and system time.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import candles
from benchmarks.engines.common import CASH, FEE, QUANTITY, SLIPPAGE
from benchmarks.measure import BenchmarkError, Run, run, spread

BACKEND = Path(__file__).resolve().parents[1]
ENGINES = BACKEND / "benchmarks" / "engines"
PHOTON, COMMAND = "Photon", "Photon, backtest_simulation"
PEERS = {"vectorbt": "vectorbt_cross.py", "backtesting.py": "backtesting_cross.py"}
SLOW_WARM = ("backtesting.py",)

# Ties, and a position that is open at the end, are told differently.
ENTRIES_TOLERANCE = 0.005
# Photon rounds two prices, amounts and commissions to the cent; backtesting.py leaves out the slippage of the exits.
MONEY_PER_ENTRY = {"vectorbt": 0.05, "backtesting.py": 0.25}


@dataclass(frozen=True, slots=True)
class Course:
    """Who runs over which candles. The embedded database of the user's path is kept beside the candles."""

    csv: Path
    peers_python: Path | None

    @property
    def folder(self) -> Path:
        return self.csv.parent.parent

    def script(self, name: str, mode: str, *rest: str) -> Run:
        python = sys.executable if name == PHOTON else str(self.peers_python)
        return self._run([python, ENGINES / PEERS.get(name, "photon.py"), mode, self.csv, *rest])

    def command(self, *more: str) -> Run:
        """The user's own path, with its row in a database, its report as JSON, and every option of the test."""
        options = {
            "symbol": candles.SYMBOL, "interval": candles.INTERVAL, "model": "sma_cross", "quantity": QUANTITY,
            "fee-rate": FEE, "slippage": SLIPPAGE, "initial-balance": CASH, "max-position": "1",
            "stop-loss": "0", "take-profit": "0",
        }  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return self._run([sys.executable, BACKEND / "manage.py", "backtest_simulation", *words, *more])

    def _run(self, command: list[str | Path]) -> Run:
        database = f"sqlite:///{self.folder / 'benchmark.sqlite3'}"
        return run(command, self.folder, {"DATABASE_URL": database})

    def engines(self) -> list[str]:
        return [PHOTON, *PEERS] if self.peers_python else [PHOTON]


def cold(course: Course, rounds: int) -> dict[str, list[Run]]:
    """The engines in turns, so that a busy moment of the machine meets them all."""
    told = course.command("--json").answer
    for name in course.engines():
        # Compiled code is kept on disk by those that can: nobody pays for it in a measured run.
        answer = course.script(name, "cold").answer
        if name == PHOTON and told["final_equity"] != round(answer["final"], 2):
            raise BenchmarkError(f"the command ends with {told['final_equity']}, the engine with {answer['final']}")
    runs: dict[str, list[Run]] = {name: [] for name in [*course.engines(), COMMAND]}
    for _ in range(rounds):
        for name in course.engines():
            runs[name].append(course.script(name, "cold"))
        runs[COMMAND].append(course.command())
    return runs


def compare(runs: dict[str, list[Run]]) -> None:
    """Raises BenchmarkError unless the engines did the same work."""
    ours = runs[PHOTON][0].answer
    for name in PEERS.keys() & runs.keys():
        theirs = runs[name][0].answer
        entries, money = abs(theirs["entries"] - ours["entries"]), abs(theirs["final"] - ours["final"])
        if entries > ENTRIES_TOLERANCE * ours["entries"] or money > MONEY_PER_ENTRY[name] * ours["entries"]:
            raise BenchmarkError(f"{name} did not do the same: {theirs}, not {ours}")


def show_cold(runs: dict[str, list[Run]]) -> None:
    print(f"{'cold, whole process':28}  CPU s                       wall s                      peak MB")
    ours = runs[PHOTON]
    for name, theirs in runs.items():
        peak = max(run.peak_megabytes for run in theirs)
        cpu, wall = spread([run.cpu for run in theirs]), spread([run.wall for run in theirs])
        print(f"{name:28} {cpu:28}{wall:28}{peak:6.0f}")
    for name in runs:
        if name != PHOTON:
            ratios = [other.cpu / own.cpu for other, own in zip(runs[name], ours, strict=True)]
            print(f"{name} / Photon, CPU, pair by pair: {spread(ratios)}")
    for name in PEERS.keys() & runs.keys() | {PHOTON}:
        answer = runs[name][0].answer
        print(f"{name:28} entries {answer['entries']}, closed {answer['closed']}, final equity {answer['final']:.2f}")


def show_warm(course: Course, rounds: int) -> None:
    print("\nwarm, CPU s per round")
    for name in course.engines():
        if name in SLOW_WARM:
            continue
        stages = course.script(name, "warm", str(rounds)).answer["stages"]
        totals = [sum(lap.values()) for lap in stages]
        print(f"{name:28} {spread(totals)}")
        if name == PHOTON:
            print(f"{'  without the written books':28} {spread([sum(lap.values()) - lap['books'] for lap in stages])}")
        for stage in stages[0]:
            print(f"  {stage:26} {median([lap[stage] for lap in stages]):8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the candles are made and kept")
    parser.add_argument("--peers-python", type=Path, help="the python of an environment with peers.txt installed")
    parser.add_argument("--rows", type=int, default=candles.ROWS)
    parser.add_argument("--cold", type=int, default=5, help="whole processes for each engine")
    parser.add_argument("--warm", type=int, default=7, help="rounds for each engine")
    given = parser.parse_args()
    peers = given.peers_python and given.peers_python.absolute()
    course = Course(candles.write(given.folder.absolute(), given.rows), peers)
    runs = cold(course, given.cold)
    show_cold(runs)
    compare(runs)
    show_warm(course, given.warm)


if __name__ == "__main__":
    main()
