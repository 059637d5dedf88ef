"""A run: candles in, a result out. No database, no clock and no output; progress goes to a callback."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from engine.jump import Replay, replay

from backtests.buy_and_hold import buy_and_hold
from backtests.curve import Curve, exact_curve
from backtests.options import Options, OptionsError
from backtests.series import Series
from engine.indicators import Array, deviation, sma
from engine.metrics import Metrics, metrics
from engine.orders import Action, Instrument
from engine.snapshot import market_frame
from learning.recipes import Algorithm, Recipe
from learning.walk_score import Score, score_walk
from learning.walkforward import Training, out_of_sample_probabilities
from market.gaps import gaps_line

Progress = Callable[[int, int], None]

FAST, SLOW, NOISE = 10, 50, 20

# Decimal computes with 28 digits: prices up to here leave room for quantities and for money's places.
HIGHEST_PRICE = 1e12


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a model knew at each close of the whole series, and how it came to know it; a rule has no score."""

    probabilities: Array
    volatility: Array
    trainings: tuple[Training, ...] = ()
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run. `candles`, the replay and the curves have one row for each candle of the test.

    `history` is the number of candles before it; the rows of the trainings count from the first of these.
    """

    options: Options
    instrument: Instrument
    history: int
    candles: pd.DataFrame
    replay: Replay
    metrics: Metrics
    equity: Curve
    buy_and_hold: Curve
    trainings: tuple[Training, ...]
    score: Score | None
    gaps: str | None


def run(options: Options, series: Series, instrument: Instrument, on_progress: Progress | None = None) -> Result:
    """The test of a series, out of sample. Raises OptionsError, or TrainingError when no model can be trained.

    `on_progress` is told the candles done and the candles to do while models train.
    """
    _check_balance(options, instrument)
    _check_prices(series, instrument)
    forecast = _trained(options, series, on_progress) if options.model.is_trained else sma_cross(series.candles)
    rules, cash, tested = options.rules(instrument), options.initial_balance, series.tested
    rows = slice(series.start, None)
    played = replay(tested, forecast.probabilities[rows], forecast.volatility[rows], options.interval, rules, cash)
    equity = exact_curve(played.holdings.equity_array(), played.holdings.equity_at, instrument)
    exposed = played.holdings.quantity_array()
    return Result(
        options=options,
        instrument=instrument,
        history=series.start,
        candles=tested,
        replay=played,
        metrics=metrics(equity.floats(), exposed, played.profits, tested.index[-1] - tested.index[0]),
        equity=equity,
        buy_and_hold=buy_and_hold(tested, cash, instrument, rules.costs),
        trainings=forecast.trainings,
        score=forecast.score,
        gaps=gaps_line(tested, options.interval, options.symbol),
    )


def sma_cross(candles: pd.DataFrame) -> Forecast:
    """BUY while SMA 10 is above SMA 50 and SELL while it is below, each with probability 1: a rule as a forecast."""
    close = candles["close"].to_numpy()
    fast, slow = sma(close, FAST), sma(close, SLOW)
    probabilities = np.zeros((close.size, len(Action)))
    probabilities[:, Action.BUY] = fast > slow
    probabilities[:, Action.SELL] = fast < slow
    probabilities[:, Action.HOLD] = fast == slow
    probabilities[np.isnan(slow)] = np.nan
    return Forecast(probabilities, deviation(close, NOISE))


def recipe_of(options: Options) -> Recipe:
    return Recipe(algorithm=Algorithm(options.model.value), threshold=options.label_threshold, seed=options.seed)


def _trained(options: Options, series: Series, on_progress: Progress | None) -> Forecast:
    recipe, market = recipe_of(options), market_frame(series.candles)
    retrain_every = options.candles_between_trainings(series.start)
    walk = out_of_sample_probabilities(recipe, market, series.start, retrain_every, on_progress)
    try:
        score = score_walk(recipe, market, walk)
    except ValueError:
        # The test is shorter than the horizon: no label of it has closed.
        score = None
    return Forecast(walk.probabilities, market["volatility"].to_numpy(), walk.trainings, score)


def _check_balance(options: Options, instrument: Instrument) -> None:
    if options.initial_balance % instrument.money_step:
        raise OptionsError(
            f"the initial balance {options.initial_balance} is not in whole steps of {instrument.money_step}"
        )


def _check_prices(series: Series, instrument: Instrument) -> None:
    lowest, highest = series.tested["low"].min(), series.tested["high"].max()
    if lowest < instrument.price_tick or highest > HIGHEST_PRICE:
        raise OptionsError(
            f"prices from {lowest:g} to {highest:g} are outside {instrument.price_tick} to {HIGHEST_PRICE:g}, "
            f"between which {instrument.symbol} can be accounted for exactly"
        )
