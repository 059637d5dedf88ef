"""What answers would have earned: a simple account that is either all in or all out, after costs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.decide import choose
from engine.indicators import Array
from engine.orders import Action
from engine.terms import Costs
from learning.measures import Interval, Resampling, mean_interval


@dataclass(frozen=True, slots=True)
class Economy:
    """Returns in percent from the first to the last close. `excess_percent` is what the account made of each unit that
    buying and holding made over the same candles, less 100 %; its interval comes from resampled candles.
    """

    return_percent: float
    buy_and_hold_percent: float
    excess_percent: Interval
    trades: int
    exposure_percent: float


def economy(
    market: pd.DataFrame, rows: npt.NDArray[np.int64], probabilities: Array, costs: Costs, horizon: int, seed: int
) -> Economy:
    """The account of a long-only trader who follows the likeliest action (n, 3) at the close of each of n rows.

    BUY goes all in and SELL all out, at the next open and at the engine's costs; HOLD, and a row without an answer,
    change nothing. There is no size, no stop and no limit: it weighs the answers, a back-test weighs the settings.
    """
    first, last = int(rows[0]), min(int(rows[-1]) + 1, len(market) - 1)
    actions = np.full(last - first, Action.HOLD, dtype=np.int8)
    answered = rows < last
    actions[rows[answered] - first] = choose(probabilities[answered], 0.0)[0]
    invested = _invested(actions)
    prices = market.iloc[first : last + 1]
    growth = log_growth(invested, prices, costs)
    held = log_growth(np.ones_like(invested), prices, costs)
    resampling = Resampling(np.zeros(growth.size, dtype=np.int64), horizon, seed)
    excess = mean_interval(growth - held, resampling)
    return Economy(
        return_percent=_percent(growth.sum()),
        buy_and_hold_percent=_percent(held.sum()),
        excess_percent=Interval(
            _percent(excess.value * growth.size),
            _percent(excess.low * growth.size),
            _percent(excess.high * growth.size),
        ),
        trades=int(np.count_nonzero(np.diff(invested, prepend=False))),
        exposure_percent=100.0 * float(invested.mean()),
    )


def log_growth(invested: npt.NDArray[np.bool_], prices: pd.DataFrame, costs: Costs) -> Array:
    """(n,) the growth of the account over each of n candles, for n + 1 candles of prices: the first is the one at whose
    close the first decision falls, and `invested[i]` says whether money is in the market from the open of the next on.
    """
    fee, slippage = float(costs.fee_rate), float(costs.slippage_rate)
    opened, close = prices["open"].to_numpy()[1:], prices["close"].to_numpy()
    before = np.concatenate([[False], invested[:-1]])
    paid = opened * (1.0 + slippage) * (1.0 + fee)
    received = opened * (1.0 - slippage) * (1.0 - fee)
    at_start = np.where(before, close[:-1], np.where(invested, paid, 1.0))
    at_end = np.where(invested, close[1:], np.where(before, received, 1.0))
    return np.asarray(np.log(at_end / at_start))


def _invested(actions: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Whether money is in the market after each action: what the last BUY or SELL said, out before the first."""
    spoken = np.where((actions == Action.BUY) | (actions == Action.SELL), np.arange(actions.size), -1)
    last = np.maximum.accumulate(spoken)
    return np.asarray((last >= 0) & (actions[last] == Action.BUY))


def _percent(log_return: float) -> float:
    return 100.0 * float(np.expm1(log_return))
