# ruff: noqa: E402  (Django has to be set up first)
"""How much of a walk-forward back-test is spent inside scikit-learn, which trains, and ONNX Runtime, which answers: the
rest is what Photon adds to them."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["DATABASE_URL"] = "sqlite:///:memory:"
django.setup()

from onnxruntime import InferenceSession
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from backtests.options import Model, Options
from backtests.runner import run
from backtests.series import PriceHistory
from benchmarks.candles import PROJECT
from engine.orders import Instrument
from market.sources import csv_file

INTERVAL, HISTORY_SHARE = "1h", 3
CALLS = {RandomForestClassifier: ("fit",), GradientBoostingClassifier: ("fit",), InferenceSession: ("run",)}


def hourly_series() -> Path:
    folder = Path(os.environ.get("PHOTON_TEST_DATA") or PROJECT.parent / "shared" / "data")
    real = folder / "BTCUSDT_1h.csv"
    return real if real.is_file() else PROJECT / "data" / "EURUSD_1h.csv"


@contextmanager
def timed(spent: list[float]) -> Iterator[None]:
    """Adds up the seconds inside their calls."""
    known = {(owner, name): getattr(owner, name) for owner, names in CALLS.items() for name in names}

    def watched(call: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                spent.append(perf_counter() - began)

        return wrapper

    for (owner, name), call in known.items():
        setattr(owner, name, watched(call))
    try:
        yield
    finally:
        for (owner, name), call in known.items():
            setattr(owner, name, call)


def share(model: Model, path: Path) -> None:
    symbol = path.name.split("_")[0]
    spent: list[float] = []
    with timed(spent):
        began = perf_counter()
        frame = csv_file.read(path, INTERVAL)
        history = PriceHistory(frame, len(frame) // HISTORY_SHARE)
        result = run(Options(symbol, INTERVAL, model=model), [(history, Instrument(symbol))])
        total = perf_counter() - began
    inside = sum(spent)
    print(
        f"{model.value:18} {len(frame):,} candles, {len(result.instruments[0].trainings)} trainings: {total:.2f} s, "
        f"in the libraries {inside:.2f} s = {inside / total:.1%}, Photon's own {total - inside:.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, help="an hourly series, named SYMBOL_1h.csv")
    given = parser.parse_args()
    for model in (Model.RANDOM_FOREST, Model.GRADIENT_BOOSTING):
        share(model, given.csv or hourly_series())


if __name__ == "__main__":
    main()
