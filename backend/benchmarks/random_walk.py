"""What the strategies earn where there is nothing to earn: many fair random walks, before and after costs.

    python benchmarks/random_walk.py [--walks 100] [--candles 1500]

Run it from backend/. On a fair walk the mean before costs must not differ from zero, and after costs it must not be
above it; a t beyond 3 means that the back-test looks into the future, or gives money away.
"""

import argparse
import sys
from decimal import Decimal
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backtests.options import Model, Options
from backtests.runner import run
from backtests.series import PriceHistory
from engine.orders import Instrument

STEP, START, SUBSTEPS = 0.01, 1000.0, 24
FREE: dict[str, Any] = {"fee_rate": Decimal(0), "slippage": Decimal(0)}


def fair_candles(rows: int, seed: int) -> pd.DataFrame:
    """Hourly candles over a path of SUBSTEPS prices each, whose expectation is the price before."""
    step = STEP / sqrt(SUBSTEPS)
    draws = np.random.default_rng(seed).normal(-step * step / 2, step, rows * SUBSTEPS)
    path = np.round(START * np.exp(np.cumsum(draws)), 2).reshape(rows, SUBSTEPS)
    opened = np.concatenate([[START], path[:-1, -1]])
    columns = {
        "open": opened,
        "high": np.maximum(opened, path.max(axis=1)),
        "low": np.minimum(opened, path.min(axis=1)),
        "close": path[:, -1],
        "volume": np.random.default_rng(seed + 10**6).uniform(1, 2, rows),
    }
    return pd.DataFrame(columns, index=pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"))


def return_percent(model: Model, candles: pd.DataFrame, seed: int, free: bool, levels: bool) -> tuple[float, int]:
    options = Options(
        "WALKUSDT",
        "1h",
        model=model,
        confidence=0.4,
        max_position=Decimal(1),
        seed=seed,
        stop_loss=0.03 if levels else None,
        take_profit=0.06 if levels else None,
        **(FREE if free else {}),
    )
    start = len(candles) // 3 if model.is_trained else 0
    found = run(options, [(PriceHistory(candles, start), Instrument("WALKUSDT"))]).metrics
    return found.return_percent, found.closed_trades


def row(model: Model, walks: int, candles: int, free: bool, levels: bool) -> str:
    found = [return_percent(model, fair_candles(candles, seed), seed, free, levels) for seed in range(walks)]
    returns = [percent for percent, _ in found]
    error = stdev(returns) / sqrt(walks)
    costs, exits = "none" if free else "0.1 % + 0.1 %", "3 % / 6 %" if levels else "none"
    trades = mean(count for _, count in found)
    figures = f"{trades:8.1f} {mean(returns):9.3f} {error:9.3f} {mean(returns) / error:8.2f}"
    return f"{model:<18} {costs:<14} {exits:<10} {figures}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--walks", type=int, default=100)
    parser.add_argument("--candles", type=int, default=1500)
    given = parser.parse_args()
    print(f"{given.walks} walks of {given.candles} candles")
    print(f"{'model':<18} {'costs':<14} {'exits':<10} {'trades':>8} {'mean %':>9} {'error %':>9} {'t':>8}")
    for model in Model:
        for free in (True, False):
            for levels in (False, True):
                print(row(model, given.walks, given.candles, free, levels), flush=True)


if __name__ == "__main__":
    main()
