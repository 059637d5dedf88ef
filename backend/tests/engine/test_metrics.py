from datetime import timedelta
from decimal import Decimal
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from engine.metrics import (
    Metrics,
    candle_returns,
    deflated_sharpe_ratio,
    max_drawdown,
    metrics,
    probabilistic_sharpe_ratio,
    sharpe_ratio,
    sortino_ratio,
)

YEAR = timedelta(days=365.25)
EQUITY = np.array([100.0, 110.0, 99.0, 108.9, 119.79])
PROFITS = np.array([1000, -1100, 990, 1089, 0])
"""In cents."""


def test_every_figure_of_a_small_run() -> None:
    found = metrics(EQUITY, np.array([0.0, 1.0, 1.0, 1.0, 0.0]), PROFITS, YEAR)
    # Returns are 0.1, -0.1, 0.1, 0.1: mean 0.05, sample deviation 0.1, downside deviation 0.05; four a year.
    assert found == Metrics(
        return_percent=pytest.approx(19.79),
        sharpe=pytest.approx(0.5 * sqrt(4)),
        sortino=pytest.approx(1.0 * sqrt(4)),
        probabilistic_sharpe=found.probabilistic_sharpe,
        max_drawdown=pytest.approx(11.0),
        max_drawdown_percent=pytest.approx(10.0),
        exposure_percent=60.0,
        closed_trades=5,
        winning_trades=3,
        losing_trades=1,
        win_rate_percent=60.0,
        profit_factor=pytest.approx(30.79 / 11),
        average_win=Decimal("30.79") / 3,
        average_loss=Decimal("11.00"),
        gross_profit=Decimal("30.79"),
        gross_loss=Decimal("11.00"),
    )


def test_what_is_undefined_is_none() -> None:
    found = metrics(np.full(10, 100.0), np.zeros(10), [], YEAR)
    undefined = (found.sharpe, found.sortino, found.probabilistic_sharpe, found.profit_factor, found.win_rate_percent)
    assert undefined == (None, None, None, None, None)
    assert (found.average_win, found.average_loss, found.max_drawdown, found.return_percent) == (None, None, 0.0, 0.0)


def test_a_single_candle_has_a_return_of_zero() -> None:
    found = metrics(np.array([100.0]), np.zeros(1), [], timedelta(0))
    assert (found.return_percent, found.sharpe) == (0.0, None)


def test_without_equity_there_are_no_figures() -> None:
    with pytest.raises(ValueError, match="at least one"):
        metrics(np.empty(0), np.empty(0), [], YEAR)


def test_the_deepest_fall_in_money_and_in_percent_may_be_two() -> None:
    assert max_drawdown(np.array([10.0, 5.0, 100.0, 80.0])) == (20.0, 50.0)


def test_sharpe_and_moments_agree_with_scipy() -> None:
    returns = np.random.default_rng(3).standard_t(5, 500) * 0.01 + 0.001
    sharpe = returns.mean() / returns.std(ddof=1)
    assert sharpe_ratio(returns) == pytest.approx(sharpe)
    assert sortino_ratio(returns) == pytest.approx(returns.mean() / sqrt((np.minimum(returns, 0) ** 2).mean()))
    spread = sqrt(1 - stats.skew(returns) * sharpe + (stats.kurtosis(returns, fisher=False) - 1) / 4 * sharpe**2)
    expected = stats.norm.cdf(sharpe * sqrt(len(returns) - 1) / spread)
    assert probabilistic_sharpe_ratio(returns) == pytest.approx(expected)


def test_many_trials_deflate_a_sharpe_ratio() -> None:
    returns = np.random.default_rng(3).normal(0.0005, 0.01, 500)
    one, many = deflated_sharpe_ratio(returns, 1, 0.001), deflated_sharpe_ratio(returns, 100, 0.001)
    assert one == probabilistic_sharpe_ratio(returns)
    assert one is not None
    assert many is not None
    assert many < one


def test_the_best_of_many_without_skill_is_not_told_from_luck() -> None:
    """Fifty coin-flip strategies, the best one picked: its deflated ratio stays near a half, its plain one does not."""
    rng = np.random.default_rng(0)
    plain, deflated = [], []
    for _ in range(60):
        runs = rng.normal(0, 0.01, (50, 400))
        ratios = [sharpe_ratio(run) or 0.0 for run in runs]
        best = runs[int(np.argmax(ratios))]
        plain.append(probabilistic_sharpe_ratio(best) or 0.0)
        deflated.append(deflated_sharpe_ratio(best, 50, float(np.var(ratios))) or 0.0)
    assert np.mean(plain) > 0.95
    assert 0.3 < np.mean(deflated) < 0.7


def test_returns_are_changes_from_close_to_close() -> None:
    np.testing.assert_allclose(candle_returns(EQUITY), [0.1, -0.1, 0.1, 0.1])
