"""Which features, labels, algorithm and calibration: each choice out of sample, over all real series at hand.

    nice python benchmarks/defaults.py CACHE.csv [--rows 4000] [--trees 60]

Run it from backend/. One choice at a time is changed. Every result is added to CACHE.csv, so that a run that was
stopped goes on where it was. Fair random walks are scored too: what a choice gains on them is an artefact.

- gain: by how many thousandths of a nat the calibrated log loss is below that of the class frequencies so far, the
  median over the series.
- sure: on how many series the whole 95 % interval of the gain is above 0, and on how many it is below.
- AUC, one class against the rest; direction: BUY against SELL alone. 0.5 knows nothing.
- account: return in percent of an account that follows the likeliest action after costs, the median over the series,
  and on how many series it beat buying and holding.
"""

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean, median
from time import process_time
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.candles import PROJECT
from benchmarks.random_walk import fair_candles
from engine.candles import validate
from engine.features import FeatureForm
from engine.orders import Action
from engine.snapshot import market_frame
from engine.terms import Costs
from learning.calibration import Method
from learning.economy import economy
from learning.examples import examples
from learning.held_out import HeldOut, hold_out, recalibrated
from learning.measures import Resampling, log_losses, mean_interval, measures
from learning.recipes import Algorithm, Recipe, ThresholdUnit
from learning.reliability import reliability
from learning.training import TrainingError

WALKS, ROUNDS = 4, 200
FEWEST_CANDLES = 700
CLASSIC, VOLATILITY = FeatureForm.CLASSIC, ThresholdUnit.VOLATILITY
GRADIENT, HISTOGRAM = Algorithm.GRADIENT_BOOSTING, Algorithm.HIST_GRADIENT_BOOSTING

CHOICES: dict[str, dict[str, Any]] = {
    "forest, stationary, 5 candles, 0.5 %": {},
    "classic features": {"form": CLASSIC},
    "gradient boosting": {"algorithm": GRADIENT},
    "gradient boosting, classic": {"algorithm": GRADIENT, "form": CLASSIC},
    "histogram boosting": {"algorithm": HISTOGRAM},
    "histogram boosting, classic": {"algorithm": HISTOGRAM, "form": CLASSIC},
    "horizon 1": {"horizon": 1},
    "horizon 10": {"horizon": 10},
    "horizon 20": {"horizon": 20},
    "threshold 0.2 %": {"threshold": 0.002},
    "threshold 1 %": {"threshold": 0.01},
    "threshold 0.5 volatilities": {"threshold": 0.5, "threshold_unit": VOLATILITY},
    "threshold 1 volatility": {"threshold": 1.0, "threshold_unit": VOLATILITY},
}

Row = Mapping[str, str]


def series(rows: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """The walks, then the last `rows` candles of each real series that has enough of them."""
    for seed in range(WALKS):
        yield f"walk {seed}", fair_candles(rows // 2, seed)
    folder = Path(os.environ.get("PHOTON_TEST_DATA") or PROJECT.parent / "shared" / "data")
    for path in sorted((folder if folder.is_dir() else PROJECT / "data").glob("*_*.csv")):
        frame = pd.read_csv(path, index_col=0, parse_dates=True)
        if len(frame) >= FEWEST_CANDLES:
            yield path.stem, validate(frame).iloc[-rows:]


def measured(recipe: Recipe, market: pd.DataFrame) -> dict[str, Any]:
    """The figures of one choice on one series, under each calibration; held-out rows are answered once."""
    began = process_time()
    known = examples(recipe, market)
    try:
        held = hold_out(recipe, known)
    except TrainingError as error:
        return {"refused": str(error)}
    gains = {f"gain_{method}": _gain(recalibrated(recipe, known, held, method)) for method in Method}
    return {**gains, **_figures(recipe, market, held.scored()), "seconds": round(process_time() - began, 2)}


def _gain(held: HeldOut) -> float:
    scored = held.scored()
    return float((log_losses(scored.majority_answers()) - log_losses(scored.answers())).mean())


def _figures(recipe: Recipe, market: pd.DataFrame, held: HeldOut) -> dict[str, Any]:
    resampling = Resampling(held.fold, recipe.horizon, recipe.seed, ROUNDS)
    answers, majority = held.answers(), held.majority_answers()
    gain = mean_interval(log_losses(majority) - log_losses(answers), resampling)
    found = measures(answers, resampling)
    auc, direction = found.auc, found.direction_auc
    account = economy(market, held.rows, held.calibrated, Costs(), recipe.horizon, recipe.seed)
    raw, calibrated = (mean(one.error for one in reliability(said, held.truth)) for said in (held.raw, held.calibrated))
    return {
        "rows": held.rows.size,
        "hold_share": float((held.truth == Action.HOLD).mean()),
        "gain_low": gain.low,
        "gain_high": gain.high,
        "accuracy": found.accuracy.value,
        "majority": float(majority.right.mean()),
        "auc": "" if auc is None else auc.value,
        "direction": "" if direction is None else direction.value,
        "direction_low": "" if direction is None else direction.low,
        "raw_error": raw,
        "calibrated_error": calibrated,
        "account": account.return_percent,
        "held": account.buy_and_hold_percent,
        "trades": account.trades,
    }


COLUMNS = [
    *("series", "choice", "refused", "seconds", "gain_none", "gain_sigmoid", "gain_isotonic", "rows", "hold_share"),
    *("gain_low", "gain_high", "accuracy", "majority", "auc", "direction", "direction_low", "raw_error"),
    *("calibrated_error", "account", "held", "trades"),
]


def run(cache: Path, rows: int, trees: int) -> list[Row]:
    """All results, those already in the cache as they are."""
    known = list(csv.DictReader(cache.open())) if cache.exists() else []
    done = {(row["series"], row["choice"]) for row in known}
    with cache.open("a", newline="") as sink:
        writer = csv.DictWriter(sink, COLUMNS)
        if not known:
            writer.writeheader()
        for name, candles in series(rows):
            missing = {choice: fields for choice, fields in CHOICES.items() if (name, choice) not in done}
            market = market_frame(candles) if missing else candles
            for choice, fields in missing.items():
                writer.writerow({"series": name, "choice": choice, **measured(Recipe(trees=trees, **fields), market)})
                sink.flush()
            print(f"{name}: {len(candles)} candles", file=sys.stderr, flush=True)
    return list(csv.DictReader(cache.open()))


def table(found: list[Row]) -> Iterator[str]:
    header = f"{'':<37} {'series':>6} {'HOLD':>5} {'gain':>7} {'sure':>8} {'AUC':>6} {'direction':>9} {'sure':>5}"
    yield f"{header} {'account':>8} {'beat':>5} {'gain on walks':>14}"
    for choice in CHOICES:
        rows = [row for row in found if row["choice"] == choice and not row["refused"]]
        real, walks = ([row for row in rows if row["series"].startswith("walk") is made] for made in (False, True))
        if real and walks:
            yield f"{choice:<37} {_line(real)} {1000 * median(_numbers(walks, 'gain_sigmoid')):14.1f}"
    yield ""
    yield f"{'calibration':<37} {'gain':>7} {'mean':>7}   (all choices and series)"
    for method in Method:
        gains = _numbers([row for row in found if not row["refused"]], f"gain_{method}")
        yield f"{method:<37} {1000 * median(gains):7.1f} {1000 * mean(gains):7.1f}"
    errors = [
        mean(_numbers([row for row in found if not row["refused"]], f"{state}_error"))
        for state in ("raw", "calibrated")
    ]
    yield f"calibration error: {errors[0]:.3f} raw, {errors[1]:.3f} with the sigmoid"


def _line(rows: list[Row]) -> str:
    gains, lows, highs = (_numbers(rows, name) for name in ("gain_sigmoid", "gain_low", "gain_high"))
    better, worse = sum(low > 0 for low in lows), sum(high < 0 for high in highs)
    beat = sum(ours > held for ours, held in zip(_numbers(rows, "account"), _numbers(rows, "held"), strict=True))
    foretold = sum(low > 0.5 for low in _numbers(rows, "direction_low"))
    return (
        f"{len(rows):6d} {mean(_numbers(rows, 'hold_share')):5.2f} {1000 * median(gains):7.1f} "
        f"{better:4d}/-{worse:<2d} "
        f"{mean(_numbers(rows, 'auc')):6.3f} {mean(_numbers(rows, 'direction')):9.3f} {foretold:5d} "
        f"{median(_numbers(rows, 'account')):8.1f} {beat:5d}"
    )


def _numbers(rows: list[Row], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row[name] != ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path, help="a CSV file that results are added to")
    parser.add_argument("--rows", type=int, default=4000, help="how many of the newest candles of each series")
    parser.add_argument("--trees", type=int, default=60)
    given = parser.parse_args()
    found = run(given.cache, given.rows, given.trees)
    print(f"the last {given.rows} candles, {given.trees} trees, {sum(_numbers(found, 'seconds')):.0f} CPU s")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
