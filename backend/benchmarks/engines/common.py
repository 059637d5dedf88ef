"""What the engines have in common: the order of the day, stop-watches, and the form of the answer."""

import gc
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Protocol

FAST, SLOW = 10, 50
CASH, QUANTITY, FEE, SLIPPAGE = "1000000", "0.01", "0.001", "0.0001"
WARM_UPS = 2


@dataclass(frozen=True)
class Outcome:
    """`final` is the equity at the last close."""

    entries: int
    closed: int
    final: float


@dataclass
class Laps:
    """CPU seconds of the stages of a round."""

    stages: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0
    _last: float = 0.0

    def begin(self) -> None:
        self._last = process_time()

    def done(self, stage: str) -> None:
        now = process_time()
        self.stages[stage] = now - self._last
        self._last = now


class Engine(Protocol):
    def round(self, laps: Laps) -> Outcome: ...


def play(load: Callable[[Path], Engine], arguments: list[str]) -> None:
    """`cold CSV` plays one round; `warm CSV ROUNDS` plays two to warm up, and then ROUNDS."""
    mode, path, *rest = arguments
    engine = load(Path(path))
    rounds = WARM_UPS + int(rest[0]) if mode == "warm" else 1
    laps: list[Laps] = []
    for _ in range(rounds):
        gc.collect()
        laps.append(Laps())
        began = perf_counter()
        outcome = engine.round(laps[-1])
        laps[-1].wall = perf_counter() - began
    warm = laps[WARM_UPS:]
    print(json.dumps({**asdict(outcome), "stages": [lap.stages for lap in warm], "wall": [lap.wall for lap in warm]}))
