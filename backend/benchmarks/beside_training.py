"""From a closed candle to the committed trade, while nothing else happens and while models are trained beside it.

    DATABASE_URL=postgres://user:password@host/an_empty_database python -m benchmarks.beside_training

The turns are those of benchmarks.latency in the loop: every decision trades, one candle is on its way at a time, and a
short pause follows each. Phases alternate: nothing beside them, training, nothing, training. Trained is as on the
platform: a thread of the same process reads stored candles, a child process of low priority (learning.apart) makes the
model, and the thread registers it; then the next one, with another seed. Target: the median beside training is within
1.25 times the one beside nothing. The database is emptied.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from statistics import median, quantiles
from threading import Event, Thread
from time import sleep
from typing import TYPE_CHECKING

import django

from benchmarks.known_market import INTERVAL, BenchmarkError, audited, machine, made_candles
from benchmarks.latency import ROWS, WARM_UP, known_pipeline, prepared, timed_turn
from engine.indicators import WINDOW

if TYPE_CHECKING:
    from market.models import Symbol
    from trading.selectors.markets import Market

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

TARGET_RATIO = 1.25
PHASES = ("nothing", "training", "nothing", "training")
MOST_TURNS = (ROWS - WINDOW) // len(PHASES) - WARM_UP
# A random walk so calm that every label is HOLD has moves of half a percent when it is this many times as wild.
WILDNESS = 20


@dataclass(frozen=True, slots=True)
class Phase:
    """`seconds` of each turn, the first ones left out; `trained` models were ready before the last turn was."""

    beside: str
    seconds: Sequence[float]
    trained: int


@dataclass(frozen=True, slots=True)
class Verdict:
    idle: float
    training: float

    @property
    def ratio(self) -> float:
        return self.training / self.idle

    @property
    def met(self) -> bool:
        return self.ratio <= TARGET_RATIO

    def __str__(self) -> str:
        word = "met" if self.met else "NOT met"
        return (
            f"median beside nothing {1000 * self.idle:.1f} ms, beside training {1000 * self.training:.1f} ms: "
            f"{self.ratio:.2f} times (target {TARGET_RATIO:g}: {word})"
        )


def judged(phases: Sequence[Phase]) -> Verdict:
    """All turns beside nothing against all turns beside training. Raises BenchmarkError where nothing was trained."""
    training = [phase for phase in phases if phase.beside == "training"]
    if any(phase.trained == 0 for phase in training):
        raise BenchmarkError("a phase ended before its first training did: more turns, or a shorter history")
    idle = [phase for phase in phases if phase.beside == "nothing"]
    return Verdict(*(median([one for phase in some for one in phase.seconds]) for some in (idle, training)))


def row(phase: Phase) -> str:
    ranks = quantiles([1000 * seconds for seconds in phase.seconds], n=100, method="inclusive")
    most = 1000 * max(phase.seconds)
    trained = phase.trained if phase.beside == "training" else "-"
    return f"{phase.beside:<10} {ranks[49]:8.1f} {ranks[98]:8.1f} {most:8.1f} {len(phase.seconds):8} {trained:>10}"


def trained_symbol(rows: int) -> "Symbol":
    """An instrument with so many stored candles, of which about every second label is no HOLD."""
    from market.services import add_symbol, store_candles

    symbol, candles = add_symbol("TRAINUSDT"), made_candles(rows)
    prices = ["open", "high", "low", "close"]
    candles[prices] = 100 * (candles[prices] / 100) ** WILDNESS
    store_candles(symbol, INTERVAL, candles, "made")
    return symbol


@contextmanager
def beside(train: Callable[[], object]) -> Iterator[list[object]]:
    """Has `train` done again and again in a thread; what is yielded grows by an item each time it is done."""
    done: list[object] = []
    failures: list[BaseException] = []
    stop = Event()

    def work() -> None:
        try:
            while not stop.is_set():
                done.append(train())
        except BaseException as error:
            failures.append(error)

    thread = Thread(target=work, name="training")
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()
    if failures:
        raise BenchmarkError(f"training failed: {failures[0]}") from failures[0]


def turns(market: "Market", number: int, pause_seconds: float) -> list[float]:
    pipeline, seconds = known_pipeline(), []
    for _ in range(number + WARM_UP):
        seconds.append(timed_turn(pipeline, market))
        sleep(pause_seconds)
    return seconds[WARM_UP:]


def trainings(symbol: "Symbol") -> Callable[[], object]:
    """Each call trains another model of it, as the Trainer of the loop does."""
    from django.db import connection

    from learning.apart import make_model_apart
    from learning.recipes import Recipe
    from learning.services import train_version

    seeds = count(1)

    def train() -> object:
        try:
            return train_version(symbol, INTERVAL, replace(Recipe(), seed=next(seeds)), make=make_model_apart)
        finally:
            connection.close()

    return train


def measured(market: "Market", symbol: "Symbol", number: int, pause_seconds: float) -> Iterator[Phase]:
    train = trainings(symbol)
    for name in PHASES:
        if name == "nothing":
            yield Phase(name, turns(market, number, pause_seconds), 0)
            continue
        with beside(train) as done:
            seconds = turns(market, number, pause_seconds)
            ended = len(done)
        yield Phase(name, seconds, ended)


def run(number: int, history: int, pause_seconds: float) -> bool:
    """Prints the phases and the verdict; whether the target is met."""
    from trading.models import Trade
    from trading.runtime.loop import freeze_garbage

    (market,) = prepared(1)
    symbol = trained_symbol(history)
    freeze_garbage()
    print(f"{machine()}; {number} candles a phase, models learn from {history}")
    print(f"{'beside':<10} {'ms p50':>8} {'p99':>8} {'most':>8} {'turns':>8} {'trainings':>10}")
    phases = []
    for phase in measured(market, symbol, number, pause_seconds):
        print(row(phase), flush=True)
        phases.append(phase)
    expected = len(PHASES) * (number + WARM_UP)
    if Trade.objects.count() != expected:
        raise BenchmarkError(f"{Trade.objects.count()} trades of {expected} candles")
    audited()
    verdict = judged(phases)
    print(f"{verdict}\n{machine()}")
    return verdict.met


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=400, help=f"in each phase, at most {MOST_TURNS}")
    parser.add_argument("--history", type=int, default=3000, help="candles that each model learns from")
    parser.add_argument("--pause", type=float, default=0.03, help="seconds after each turn")
    chosen = parser.parse_args()
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        parser.error("DATABASE_URL has to name an empty PostgreSQL database")
    if not 1 < chosen.turns <= MOST_TURNS:
        parser.error(f"--turns must be from 2 to {MOST_TURNS}")
    django.setup()
    from django.conf import settings

    settings.DEBUG = False  # or every query would be kept
    logging.getLogger("learning").setLevel(logging.WARNING)
    try:
        return 0 if run(chosen.turns, chosen.history, chosen.pause) else 1
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
