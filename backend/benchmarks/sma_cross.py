"""SMA 10/50 crossover over a million one-minute candles: `backtest_simulation` beside vectorbt and backtesting.py.

Cold is a whole process, from the start of Python to the printed result; of Photon it is the command itself, with Django
and a database. The engines take turns. Warm is a round in a process that has played two before. CPU seconds are user
and system time. The cases are in engines/common.py. Exit code 1 where a target is missed.
"""

import argparse
import sys
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.engines.common import CASES, FEE, SLIPPAGE, Case, Outcome
from benchmarks.measure import BenchmarkError, Run, run, spread

BACKEND = Path(__file__).resolve().parents[1]
ENGINES = BACKEND / "benchmarks" / "engines"
PHOTON, VECTORBT, BACKTESTING = "Photon", "vectorbt", "backtesting.py"
SCRIPTS = {VECTORBT: "vectorbt_cross.py", BACKTESTING: "backtesting_cross.py"}
SYMBOL, INTERVAL, ROWS = "BENCHUSDT", "1m", 1_000_000

# How many times the CPU seconds of Photon a peer has to need.
COLD_TARGETS = {VECTORBT: 8.0, BACKTESTING: 5.0}
WARM_TARGET = 3.0
PEAK_TARGET = 300
# The variable that names the folder where Photon keeps compiled code; a first run on a fresh machine finds it empty.
COMPILED_CODE = "COMPILED_DIR"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far entries and final equity may differ from Photon's, as fractions; README.md says why they differ."""

    entries: float
    final: float


# So many candles show whether the rules are the same: the balance is still large beside the cents of the rounding.
CHECKED_ROWS = 100_000
TOLERANCES = {
    "fixed": Tolerance(0.001, 0.001),
    "equity": Tolerance(0.001, 0.1),
    "volatile": Tolerance(0.01, 0.6),
    "refused": Tolerance(0.5, 0.1),
}
CHECKED_TOLERANCES = {
    "fixed": Tolerance(0.001, 0.001),
    "equity": Tolerance(0.001, 0.001),
    "volatile": Tolerance(0.01, 0.03),
    "refused": Tolerance(0.01, 0.12),
}


@dataclass(frozen=True, slots=True)
class Course:
    """Who plays which case. The embedded database of the command is kept beside the candles."""

    csv: Path
    peers_python: Path | None
    name: str

    @property
    def folder(self) -> Path:
        return self.csv.parent.parent

    def engines(self) -> list[str]:
        return [PHOTON, *SCRIPTS] if self.peers_python else [PHOTON]

    def cold(self, engine: str) -> Run:
        return self.command() if engine == PHOTON else self.script(engine, "cold")

    def command(self, *more: str, **environment: str) -> Run:
        """What a user runs; its row goes to the database."""
        words = [word for name, value in command_options(CASES[self.name]).items() for word in (f"--{name}", value)]
        return self._run([sys.executable, BACKEND / "manage.py", "backtest_simulation", *words, *more], environment)

    def script(self, engine: str, mode: str, *rest: str) -> Run:
        python = sys.executable if engine == PHOTON else str(self.peers_python)
        script = ENGINES / SCRIPTS.get(engine, "photon.py")
        return self._run([python, script, mode, self.name, self.csv, *rest], {})

    def outcome(self, engine: str) -> Outcome:
        """What an engine comes to, in a run that is not measured: compiled code is kept by those that can."""
        if engine == PHOTON:
            return outcome(self.command("--json").answer)
        answer = self.script(engine, "cold").answer
        return Outcome(answer["entries"], answer["closed"], answer["final"])

    def _run(self, command: list[str | Path], environment: dict[str, str]) -> Run:
        database = f"sqlite:///{self.folder / 'benchmark.sqlite3'}"
        return run(command, self.folder, {"DATABASE_URL": database, **environment})


def command_options(case: Case) -> dict[str, str]:
    """The options of `backtest_simulation`, without their dashes."""
    options = {
        "symbol": SYMBOL, "interval": INTERVAL, "model": "sma_cross", "fee-rate": FEE, "slippage": SLIPPAGE,
        "initial-balance": case.cash, "max-position": case.max_position, "stop-loss": case.stop_loss,
        "take-profit": case.take_profit,
    }  # fmt: skip
    return options if case.quantity is None else {**options, "quantity": case.quantity}


def outcome(document: dict[str, Any]) -> Outcome:
    """What the JSON object of the command says."""
    entries = sum(trade["action"] == "BUY" for trade in document["trades"])
    return Outcome(entries, document["metrics"]["closed_trades"], float(document["final_equity"]))


def compared(course: Course, tolerance: Tolerance) -> None:
    """Play and print what each engine comes to. Raises BenchmarkError."""
    outcomes = {name: course.outcome(name) for name in course.engines()}
    for name, found in outcomes.items():
        print(f"  {name:16} {found.entries} entries, {found.closed} closed, final equity {found.final:.2f}", flush=True)
    compare(outcomes, tolerance)


def compare(outcomes: dict[str, Outcome], tolerance: Tolerance) -> None:
    """Raises BenchmarkError unless the peers did the same work as Photon."""
    ours = outcomes[PHOTON]
    for name, theirs in outcomes.items():
        entries, final = abs(theirs.entries / ours.entries - 1), abs(theirs.final / ours.final - 1)
        if entries > tolerance.entries or final > tolerance.final:
            raise BenchmarkError(f"{name} did not do the same: {theirs}, not {ours}")


@dataclass
class Verdict:
    """Whether all targets were met."""

    met: bool = True

    def line(self, words: str, value: float, target: float, at_least: bool = True) -> None:
        """Print a figure beside its target."""
        met = value >= target if at_least else value <= target
        self.met &= met
        print(f"  {words}; target {'at least' if at_least else 'at most'} {target:g}: {'met' if met else 'NOT met'}")


def play_cold(course: Course, rounds: int, verdict: Verdict) -> None:
    runs: dict[str, list[Run]] = {name: [] for name in course.engines()}
    for _ in range(rounds):
        for name in runs:
            runs[name].append(course.cold(name))
    print(f"  {'cold, whole process':20} CPU s                       wall s                      peak MB")
    peaks = {name: max(run.peak_megabytes for run in theirs) for name, theirs in runs.items()}
    for name, theirs in runs.items():
        cpu, wall = spread([run.cpu for run in theirs]), spread([run.wall for run in theirs])
        print(f"  {name:16} {cpu:28}{wall:28}{peaks[name]:6.0f}")
    for name, target in COLD_TARGETS.items():
        if name in runs:
            ratios = [theirs.cpu / ours.cpu for theirs, ours in zip(runs[name], runs[PHOTON], strict=True)]
            verdict.line(f"{name} / Photon, CPU, pair by pair: {spread(ratios)}", median(ratios), target)
    verdict.line(f"peak of Photon: {peaks[PHOTON]:.0f} MB", peaks[PHOTON], PEAK_TARGET, at_least=False)
    first_run(course, median([run.cpu for run in runs.get(VECTORBT, [])] or [nan]))


def first_run(course: Course, vectorbt: float) -> None:
    """On a fresh machine Photon has to compile, as vectorbt does in each process."""
    with TemporaryDirectory() as empty:
        first = course.command(**{COMPILED_CODE: empty})
        if not any(Path(empty).iterdir()):
            print(f"  first run: not measured, {COMPILED_CODE} is not where code is kept")
            return
    ratio = vectorbt / first.cpu
    print(f"  first run: {first.cpu:.2f} CPU s, {first.peak_megabytes:.0f} MB; vectorbt / Photon {ratio:.2f}")


def play_warm(course: Course, rounds: int, verdict: Verdict) -> None:
    print("  warm, CPU s a round")
    totals = {}
    # backtesting.py compiles nothing and keeps nothing: warm it is what it is cold.
    for name in [name for name in course.engines() if name != BACKTESTING]:
        stages = course.script(name, "warm", str(rounds)).answer["stages"]
        totals[name] = median([sum(lap.values()) for lap in stages])
        parts = ", ".join(f"{stage} {median([lap[stage] for lap in stages]):.3f}" for stage in stages[0])
        print(f"  {name:16} {spread([sum(lap.values()) for lap in stages])}: {parts}")
    if VECTORBT in totals:
        ratio = totals[VECTORBT] / totals[PHOTON]
        verdict.line(f"vectorbt / Photon, warm: {ratio:.2f}", ratio, WARM_TARGET)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the candles are made and kept")
    parser.add_argument("--peers-python", type=Path, help="the python of an environment with peers.txt installed")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--cold", type=int, default=5, help="whole processes for each engine")
    parser.add_argument("--warm", type=int, default=7, help="rounds for each engine")
    given = parser.parse_args()
    from benchmarks import candles

    verdict = Verdict()
    peers = given.peers_python and given.peers_python.absolute()
    for name in given.cases:
        case = CASES[name]
        print(f"{name}: {case}")
        for rows, tolerances in ((CHECKED_ROWS, CHECKED_TOLERANCES), (given.rows, TOLERANCES)):
            print(f"  {rows:,} candles")
            course = Course(candles.write(given.folder.absolute(), rows, volatile=case.volatile), peers, name)
            compared(course, tolerances[name])
        play_cold(course, given.cold, verdict)
        play_warm(course, given.warm, verdict)
    return 0 if verdict.met else 1


if __name__ == "__main__":
    sys.exit(main())
