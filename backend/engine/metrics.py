"""Statistics of a run: one pure function over its equity and its closed trades. None where a figure is undefined."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from math import exp, isfinite, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.orders import CENT, Array, Ticks

_NORMAL = NormalDist()
_YEAR = timedelta(days=365.25)
_EULER_MASCHERONI = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class Metrics:
    """Returns and drawdown in percent, money in account currency, ratios without a unit.

    Sharpe and Sortino are annualised by the number of candles that a year of this very series has; the probabilistic
    Sharpe ratio is the probability that the true one is above zero.
    """

    return_percent: float
    sharpe: float | None
    sortino: float | None
    probabilistic_sharpe: float | None
    max_drawdown: float
    max_drawdown_percent: float
    exposure_percent: float
    closed_trades: int
    winning_trades: int
    losing_trades: int
    win_rate_percent: float | None
    profit_factor: float | None
    average_win: Decimal | None
    average_loss: Decimal | None
    gross_profit: Decimal
    gross_loss: Decimal


def metrics(
    equity: Array,
    exposed: npt.NDArray[Any],
    profits: Ticks | Sequence[int],
    elapsed: timedelta,
    money_step: Decimal = CENT,
) -> Metrics:
    """Figures for the equity (n,) at each close, what of it was invested (n,), and the net profits of closed trades.

    Profits are whole money steps. `elapsed` is the time from the first to the last close. The first value of the equity
    is the starting capital.
    """
    if equity.size == 0:
        raise ValueError("metrics need at least one value of equity")
    first, last, candles = float(equity[0]), float(equity[-1]), equity.size
    drawdown, drawdown_percent = max_drawdown(equity)
    returns = candle_returns(equity)
    del equity  # Frees megabytes of a long history where the caller holds no reference.
    per_year = returns.size / (elapsed / _YEAR) if elapsed > timedelta(0) else 0.0
    gains = np.asarray(profits)
    wins, losses = gains[gains > 0], -gains[gains < 0]
    # Python's integers do not overflow.
    gross_profit, gross_loss = sum(wins.tolist()) * money_step, sum(losses.tolist()) * money_step
    return Metrics(
        return_percent=100.0 * (last / first - 1.0),
        sharpe=_scaled(sharpe_ratio(returns), per_year),
        sortino=_scaled(sortino_ratio(returns), per_year),
        probabilistic_sharpe=probabilistic_sharpe_ratio(returns),
        max_drawdown=drawdown,
        max_drawdown_percent=drawdown_percent,
        exposure_percent=100.0 * float(np.count_nonzero(exposed)) / candles,
        closed_trades=len(gains),
        winning_trades=len(wins),
        losing_trades=len(losses),
        win_rate_percent=100.0 * len(wins) / len(gains) if len(gains) else None,
        profit_factor=float(gross_profit / gross_loss) if gross_loss else None,
        average_win=gross_profit / len(wins) if len(wins) else None,
        average_loss=gross_loss / len(losses) if len(losses) else None,
        gross_profit=gross_profit,
        gross_loss=gross_loss,
    )


def candle_returns(equity: Array) -> Array:
    """Fractional change from close to close, (n - 1,)."""
    returns: Array = equity[1:] / equity[:-1]
    returns -= 1.0
    return returns


def sharpe_ratio(returns: Array) -> float | None:
    """Mean over sample deviation of the returns, not annualised, with a risk-free rate of zero.

    Source: William F. Sharpe, The Sharpe Ratio, Journal of Portfolio Management, 1994.
    """
    return _quotient(returns, returns.std(ddof=1)) if returns.size > 1 else None


def sortino_ratio(returns: Array) -> float | None:
    """Mean over downside deviation (root mean square of the negative returns over all of them), not annualised.

    Source: Frank A. Sortino and Lee N. Price, Performance Measurement in a Downside Risk Framework, 1994.
    """
    if returns.size < 2:
        return None
    losses = np.minimum(returns, 0.0)
    return _quotient(returns, np.sqrt(np.dot(losses, losses) / losses.size))


def max_drawdown(equity: Array) -> tuple[float, float]:
    """The deepest fall from a high before it, in money and in percent of that high; each at its own worst moment."""
    peaks = np.maximum.accumulate(equity)
    falls = peaks - equity
    money = float(falls.max())
    falls /= peaks
    return money, 100.0 * float(falls.max())


def probabilistic_sharpe_ratio(returns: Array, benchmark: float = 0.0) -> float | None:
    """The probability that the true Sharpe ratio (per candle) is above the benchmark, given skew and fat tails.

    Source: David H. Bailey and Marcos Lopez de Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk, 2012.
    """
    sharpe = sharpe_ratio(returns)
    if sharpe is None or returns.size < 4:
        return None
    centred = returns - returns.mean()
    squares = centred * centred
    variance = float(squares.mean())
    skew = float(np.dot(squares, centred)) / returns.size / variance**1.5
    kurtosis = float(np.dot(squares, squares)) / returns.size / variance**2
    spread = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if not spread > 0:
        return None
    return _NORMAL.cdf((sharpe - benchmark) * sqrt(returns.size - 1) / sqrt(spread))


def deflated_sharpe_ratio(returns: Array, trials: int, trial_variance: float) -> float | None:
    """The probabilistic Sharpe ratio against the best of `trials` attempts without skill.

    `trial_variance` is the variance of the attempts' Sharpe ratios (per candle).
    Source: David H. Bailey and Marcos Lopez de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management, 2014.
    """
    if trials < 1 or not trial_variance >= 0:
        raise ValueError("deflation needs at least one trial and a variance that is not negative")
    if trials == 1:
        return probabilistic_sharpe_ratio(returns)
    luck = (1.0 - _EULER_MASCHERONI) * _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    luck += _EULER_MASCHERONI * _NORMAL.inv_cdf(1.0 - 1.0 / (trials * exp(1.0)))
    return probabilistic_sharpe_ratio(returns, benchmark=sqrt(trial_variance) * luck)


def _quotient(returns: Array, deviation: float) -> float | None:
    # Equal returns leave a deviation of rounding errors, which is no risk to divide by.
    if not deviation > 1e-15:
        return None
    ratio = float(returns.mean()) / float(deviation)
    return ratio if isfinite(ratio) else None


def _scaled(ratio: float | None, per_year: float) -> float | None:
    return None if ratio is None else ratio * sqrt(per_year)
