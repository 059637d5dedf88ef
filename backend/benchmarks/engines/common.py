"""The cases that every engine plays, stop-watches, and the form of the answer."""

import gc
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Protocol

FAST, SLOW = 10, 50
FEE, SLIPPAGE = "0.001", "0.0001"
# Photon may lose 1 % of the equity at its stop, 5 % below the entry. Its other limit of an entry, half of the equity
# less the risk score, is never below a quarter of it.
RISK_PER_TRADE = 0.01
LEAST_NOTIONAL = 5.0
LOT = 0.00001
WARM_UPS = 2


@dataclass(frozen=True)
class Case:
    """A fixed `quantity` of coins an entry, or None: a fraction of the equity. A level of 0 is off."""

    volatile: bool = False
    cash: str = "1000000"
    quantity: str | None = None
    max_position: str = "0.5"
    stop_loss: str = "0.05"
    take_profit: str = "0.1"

    @property
    def fraction(self) -> float:
        """The part of the equity that an entry costs, fee and slippage included."""
        return RISK_PER_TRADE / float(self.stop_loss) * (1 + float(FEE)) * (1 + float(SLIPPAGE))


CASES = {
    "fixed": Case(quantity="0.01", max_position="1", stop_loss="0", take_profit="0"),
    "equity": Case(),
    "volatile": Case(volatile=True),
    # So small a balance soon comes to where the least notional refuses one entry after the other.
    "refused": Case(volatile=True, cash="1000"),
}


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


def play(load: Callable[[Path, Case], Engine], arguments: list[str]) -> None:
    """`cold CASE CSV` plays one round; `warm CASE CSV ROUNDS` plays two to warm up, and then ROUNDS."""
    mode, case, path, *rest = arguments
    engine = load(Path(path), CASES[case])
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
