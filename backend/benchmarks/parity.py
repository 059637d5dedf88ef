"""The step-by-step fold against the jump, over whole series and many random rules: equal to the last digit.

Needs the development packages, as it borrows the walk and the rules of the tests.
"""

import argparse
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.jump import replay
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.engine.test_replay import CASH, WARM, assert_same, moody_probabilities, walk

from benchmarks.candles import PROJECT
from engine.snapshot import market_frame
from engine.terms import Rules
from tests.engine.accounts import rules
from tests.markets import real_candles

SHIPPED = ("EURUSD_1h", "GOOG_1d", "IBM_1d")
REAL = ("BTCUSDT_1h", "BTCPERP_15m", "SPY_1d", "TRXBTC_5m", "PEPEUSDT_1h", "XRPUSDT_5m")


@dataclass
class Tally:
    """What was compared; `trading` counts the replays in which at least one trade happened."""

    replays: int = 0
    trading: int = 0
    decisions: int = 0
    trades: int = 0

    def add(self, other: "Tally") -> None:
        for name in asdict(other):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        return f"{self.replays} replays ({self.trading} traded), {self.decisions:,} decisions, {self.trades:,} trades"


def compared(folder: Path, name: str, drawn: Rules, seed: int) -> Tally:
    """Raises AssertionError at the first difference."""
    interval = name.split("_")[1]
    market = market_frame(real_candles(folder, name)).iloc[WARM:]
    probabilities = moody_probabilities(len(market), seed)
    expected = walk(market, market, probabilities, interval, drawn)
    jumped = replay(market, probabilities, market["volatility"].to_numpy(), interval, drawn, CASH)
    assert_same(expected, jumped)
    return Tally(1, int(bool(jumped.trades)), len(expected.outcomes), len(jumped.trades))


def played(folder: Path, name: str, times: int) -> Tally:
    """A series under so many rules, the same ones at every call. Raises SystemExit if nothing was ever traded."""
    tally = Tally()

    @settings(
        max_examples=times, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(drawn=rules(), seed=st.integers(0, 10**6))
    def play(drawn: Rules, seed: int) -> None:
        tally.add(compared(folder, name, drawn, seed))

    play()
    if not tally.trades:
        raise SystemExit(f"{name}: none of {times} rules led to a trade, so that nothing was compared")
    return tally


def series() -> tuple[Path, tuple[str, ...]]:
    folder = Path(os.environ.get("PHOTON_TEST_DATA") or PROJECT.parent / "shared" / "data")
    return (folder, REAL) if folder.is_dir() else (PROJECT / "data", SHIPPED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=40, help="how many random rules each series is played with")
    given = parser.parse_args()
    folder, names = series()
    total = Tally()
    for name in names:
        tally = played(folder, name, given.rules)
        print(f"{name:12} {tally}: equal", flush=True)
        total.add(tally)
    print(f"all: {total}: equal")


if __name__ == "__main__":
    main()
