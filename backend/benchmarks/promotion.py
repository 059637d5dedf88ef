"""How often the rule of promotion takes an equal for better, and how soon it finds one that is.

    python benchmarks/promotion.py [--histories 500] [--candles 4000]

Run it from backend/. Every history is a market of its own with a champion and a challenger in shadow; the rule that
runs on the platform (`learning.promotion.e_values`) is asked after every candle, on the labels that have closed by
then, and the first yes counts. Beside it stands what is usually done: a t-test on all snapshots that is repeated
until it is significant at 5 %, and one that is asked once, at the end.
"""

import argparse
import sys
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.forecasters import HORIZON, NOISE_LASTS, Array, forecaster, world
from engine.labels import UNKNOWN
from learning.promotion.e_values import first_above, floored, non_overlapping
from learning.scores.walk_score import wilson

SIGNIFICANT = 1.645
FIRST_TEST = 30


@dataclass(frozen=True, slots=True)
class Case:
    """The champion's noise and the challenger's, in deviations of what both try to see; how long errors last."""

    kind: str
    champion: float
    challenger: float
    lasts: float = NOISE_LASTS


CASES = (
    *(Case("equal", noise, noise, lasts) for lasts in (0.0, NOISE_LASTS, 0.98) for noise in (1.0, 3.0)),
    *(Case("better", *pair) for pair in ((1.0, 0.5), (2.0, 1.0), (4.0, 1.0), (4.0, 0.3))),
    Case("worse", 1.0, 2.0),
)


@dataclass(frozen=True, slots=True)
class History:
    """Candles until promotion, None where there was none; `gain` is the mean log loss that the challenger saved."""

    gain: float
    promoted: int | None
    repeated: bool
    once: bool


def history(case: Case, candles: int, seed: int) -> History:
    market = world(candles, seed)
    known = np.flatnonzero(market.truth != UNKNOWN)
    truth = market.truth[known]
    champion, challenger = (
        forecaster(noise, case.lasts).answers(market, 2 * seed + 1_000_000 + which)[known]
        for which, noise in enumerate((case.champion, case.challenger))
    )
    gains = np.log(floored(challenger) / floored(champion))[np.arange(truth.size), truth]
    won = first_above(champion, challenger, truth, known, HORIZON)
    return History(float(gains.mean()), None if won is None else int(known[won]) + HORIZON, *_t_tests(gains))


def _t_tests(gains: Array) -> tuple[bool, bool]:
    """Whether a t-test on all snapshots so far is ever significant, and one on every fifth at the end."""
    count = np.arange(1, gains.size + 1)
    mean, square = np.cumsum(gains) / count, np.cumsum(gains * gains) / count
    t = mean / np.sqrt(np.maximum(square - mean * mean, 1e-30) / count)
    counted = gains[non_overlapping(np.arange(gains.size), HORIZON)]
    end = float(counted.mean() / (counted.std(ddof=1) / sqrt(counted.size)))
    return bool((t[FIRST_TEST:] > SIGNIFICANT).any()), end > SIGNIFICANT


def row(case: Case, histories: int, candles: int) -> str:
    found = [history(case, candles, seed) for seed in range(histories)]
    won = [it.promoted for it in found if it.promoted is not None]
    low, high = wilson(len(won) / histories, histories)
    soon = f"{median(won):6.0f}" if won else "     -"
    usual = f"{sum(it.repeated for it in found) / histories:9.1%} {sum(it.once for it in found) / histories:7.1%}"
    gain = float(np.mean([it.gain for it in found]))
    share = f"{len(won) / histories:7.1%} ({low:6.1%} ..{high:6.1%})"
    noises = f"{case.champion:>5g} {case.challenger:>5g} {case.lasts:>6g}"
    return f"{case.kind:<7} {noises} {gain:8.4f}   {share} {soon}   {usual}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=500)
    parser.add_argument("--candles", type=int, default=4000)
    given = parser.parse_args()
    print(f"{given.histories} histories of {given.candles} candles, labels of {HORIZON} candles")
    print(f"{'noise: champion, challenger, lasts':>27}    saved   promoted (95 %)  after  t-test: repeated, once")
    for case in CASES:
        print(row(case, given.histories, given.candles), flush=True)


if __name__ == "__main__":
    main()
