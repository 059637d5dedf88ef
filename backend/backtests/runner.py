"""A run: candles in, a result out. No database, no clock and no output; progress goes to a callback."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial, reduce
from itertools import starmap
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtests.buy_and_hold import buy_and_hold
from backtests.compiled import machine_for
from backtests.curve import Curve
from backtests.options import Options, OptionsError
from backtests.series import PriceHistory
from engine.candles import interval_length
from engine.history import ACTION, LOTS, PROFIT, ROW, Series, simulate
from engine.indicators import deviation, sma
from engine.ledger import Books, Holding
from engine.metrics import Metrics, metrics
from engine.orders import BUY, HOLD, NO_DECISION, SELL, Array, Instrument, Ticks
from market.calendar.gaps import gaps_line
from market.symbols import quote_currency

if TYPE_CHECKING:
    # A rule loads nothing of what learns.
    from learning.scores.walk_score import Score
    from learning.training.recipes import Recipe
    from learning.training.walk_forward import Training

Progress = Callable[[int, int], None]
Columns = dict[str, npt.NDArray[Any]]

FAST, SLOW, NOISE = 10, 50, 20

# Beyond it a float has less than four places, and money of two could not be accounted for.
HIGHEST_PRICE = 1e12
COARSEST_TICK = 0.005


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is decided at each close (n,) of a whole series; a rule has no trainings and no score.

    `actions` and `confidence` are those of `decide.choose`, `volatility` is the 20-candle deviation of the close.
    """

    actions: npt.NDArray[np.int8]
    confidence: Array
    volatility: Array
    trainings: "tuple[Training, ...]" = ()
    score: "Score | None" = None


@dataclass(slots=True)
class Prepared:
    """An instrument before the run; `columns` are those of its `Series`, from the first candle of the test on."""

    instrument: Instrument
    history: int
    columns: Columns
    trainings: "tuple[Training, ...]"
    score: "Score | None"
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Tested:
    """One instrument of a finished run, with one row for each candle of its test.

    `history` is the number of candles before it; the rows of the trainings count from the first of these. `first` is
    the row of its first candle among those of all instruments, by which the fills name theirs. `exposure_percent` is
    the share of the candles at whose close a position was open.
    """

    series: Series
    first: int
    history: int
    outcomes: npt.NDArray[np.int8]
    holding: Holding
    fills: Ticks
    exposure_percent: float
    buy_and_hold_percent: float
    trainings: "tuple[Training, ...]"
    score: "Score | None"
    notices: tuple[str, ...]

    @property
    def instrument(self) -> Instrument:
        return self.series.rules.instrument

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    def prices(self, ticks: Ticks) -> Array:
        found: Array = ticks.astype(np.float64)
        return found / float(1 / self.instrument.price_tick)


@dataclass(frozen=True, eq=False, slots=True)
class Result:
    """A finished run. `fills` are those of `engine.history.Played`, of all instruments in the order of events.

    The curves have one value for each moment at which a candle closes. `times` (m,) name a moment by the open time of
    its candle (of several instruments, of the last that closes then).
    """

    options: Options
    instruments: tuple[Tested, ...]
    account: Books
    fills: Ticks
    outcomes: npt.NDArray[np.int8]
    times: npt.NDArray[np.int64]
    equity: Curve
    buy_and_hold: Curve
    metrics: Metrics

    @property
    def candles(self) -> int:
        return sum(len(one.series.times) for one in self.instruments)

    @property
    def is_alone(self) -> bool:
        """Whether the run has one instrument."""
        return len(self.instruments) == 1


def run(
    options: Options, sources: Iterable[tuple[PriceHistory, Instrument]], on_progress: Progress | None = None
) -> Result:
    """The test of one or more series on one account, out of sample.

    `sources` are in the order of their symbols; each is asked for when the one before is prepared and its frame given
    up. Raises OptionsError, or TrainingError when no model can be trained. `on_progress` gets the candles done and
    the candles to do while models train.
    """
    prepared, series = _joined(options, starmap(partial(_prepared, options, on_progress), sources))
    instruments = [one.instrument for one in prepared]
    cash = _cash(options, instruments)
    machine = machine_for(sum(len(one.times) for one in series), np.result_type(*(one.high for one in series)))
    played = simulate(series, cash, compiled=machine)

    account, holdings, fills, starts = played.account, played.holdings, played.fills, played.starts
    values, positions, outcomes = played.equity, played.positions, played.outcomes
    # Steps and noise are as large as the candles, and nothing reads them any more.
    del played
    series = [replace(one, noise=one.noise[:0].copy()) for one in series]
    closes, rows, times = moments(series)
    equity, exposed = Curve(values[rows], instruments[0].money_step), positions[rows]
    del values, positions
    kept, kept_percents = buy_and_hold(series, closes, cash)
    del closes
    tested = []
    for k, one in enumerate(prepared):
        first, end = int(starts[k]), int(starts[k + 1])
        own = fills[(fills[:, ROW] >= first) & (fills[:, ROW] < end)] if len(series) > 1 else fills
        tested.append(
            Tested(
                series=series[k],
                first=first,
                history=one.history,
                outcomes=outcomes[first:end],
                holding=holdings[k],
                fills=own,
                exposure_percent=_exposure_percent(own, first, end - first),
                buy_and_hold_percent=kept_percents[k],
                trainings=one.trainings,
                score=one.score,
                notices=one.notices,
            )
        )
    sales = fills[fills[:, ACTION] == SELL]
    elapsed = timedelta(seconds=int(times[-1] - times[0]))
    return Result(
        options=options,
        instruments=tuple(tested),
        account=account,
        fills=fills,
        outcomes=outcomes,
        times=times,
        equity=equity,
        buy_and_hold=Curve(kept, equity.step),
        metrics=metrics(equity.floats(), exposed, sales[:, PROFIT], elapsed, equity.step),
    )


def sma_cross(candles: pd.DataFrame) -> Forecast:
    """BUY while SMA 10 is above SMA 50 and SELL while it is below, each with probability 1."""
    close = candles["close"].to_numpy()
    fast, slow = sma(close, FAST), sma(close, SLOW)
    actions = np.full(close.size, HOLD, dtype=np.int8)
    actions[fast > slow] = BUY
    actions[fast < slow] = SELL
    actions[np.isnan(slow)] = NO_DECISION
    return Forecast(actions, np.ones(close.size), deviation(close, NOISE))


def recipe_of(options: Options) -> "Recipe":
    from learning.training.recipes import Algorithm, Recipe

    return Recipe(algorithm=Algorithm(options.model.value), threshold=options.label_threshold, seed=options.seed)


def _trained(options: Options, history: PriceHistory, on_progress: Progress | None) -> Forecast:
    from engine.decide import choose
    from engine.snapshot import market_frame
    from learning.scores.walk_score import NothingToScore
    from learning.training.walk_forward import out_of_sample_probabilities, score_walk

    recipe, market = recipe_of(options), market_frame(history.candles)
    retrain_every = options.candles_between_trainings(history.start)
    walk = out_of_sample_probabilities(recipe, market, history.start, retrain_every, on_progress)
    try:
        score = score_walk(recipe, market, walk)
    except NothingToScore:
        score = None
    actions, confidence = choose(walk.probabilities, options.confidence)
    return Forecast(actions, confidence, market["volatility"].to_numpy(), walk.trainings, score)


def _prepared(
    options: Options, on_progress: Progress | None, history: PriceHistory, instrument: Instrument
) -> Prepared:
    # Before a training, which takes minutes.
    _check_balance(options, instrument)
    _check_prices(history, instrument)
    tested, rows = history.tested, slice(history.start, None)
    forecast = _trained(options, history, on_progress) if options.model.is_trained else sma_cross(history.candles)
    close = tested["close"].to_numpy()
    columns: Columns = {
        "times": pd.DatetimeIndex(tested.index).as_unit("s").asi8,
        **{name: instrument.tick_array(tested[name].to_numpy()) for name in ("open", "high", "low", "close")},
        "actions": forecast.actions[rows],
        "confidence": forecast.confidence[rows],
        "noise": forecast.volatility[rows] / close,
    }
    # A billionth of a tick off is the float; a price between two ticks would be another price.
    worst = float(np.abs(columns["close"] * float(instrument.price_tick) / close - 1.0).max(initial=0.0))
    if worst > COARSEST_TICK:
        raise OptionsError(
            f"prices of {instrument.symbol} would be rounded by up to {100 * worst:.2g} % to the tick of "
            f"{instrument.price_tick:f}: no account can be kept in them"
        )
    gaps = gaps_line(tested, options.interval, instrument.symbol)
    notices = history.notices if gaps is None else (*history.notices, gaps)
    return Prepared(instrument, history.start, columns, forecast.trainings, forecast.score, notices)


def _joined(options: Options, prepared: Iterable[Prepared]) -> tuple[list[Prepared], list[Series]]:
    """The instruments and their series, whose columns lie end to end in memory; those of the instruments are given up.

    Each is asked for when the columns of the one before are in their place.
    """
    instruments: list[Prepared] = []
    wholes: Columns = {}
    ends = [0]
    for one in prepared:
        instruments.append(one)
        first, end = ends[-1], ends[-1] + len(one.columns["times"])
        ends.append(end)
        while one.columns:
            name, column = one.columns.popitem()
            wholes[name] = _appended(wholes.get(name), column, first, len(options.symbols))
    for whole in wholes.values():
        if whole.size > ends[-1]:
            whole.resize(ends[-1], refcheck=False)
    parts = {name: np.split(whole, ends[1:-1]) for name, whole in wholes.items()}
    length = int(interval_length(options.interval).total_seconds())
    return instruments, [
        Series(options.rules(one.instrument), length, **{name: columns[k] for name, columns in parts.items()})
        for k, one in enumerate(instruments)
    ]


def _appended(
    whole: npt.NDArray[Any] | None, column: npt.NDArray[Any], first: int, instruments: int
) -> npt.NDArray[Any]:
    """A column of all instruments with that of one more in the rows from `first` on."""
    if instruments == 1:
        return column
    end = first + len(column)
    if whole is None:
        # Memory that is reserved and not used costs nothing.
        whole = np.empty(instruments * end, column.dtype)
    dtype = np.result_type(whole, column)
    if end > whole.size or dtype != whole.dtype:
        wide = np.empty(max(whole.size, 2 * end), dtype)
        wide[:first] = whole[:first]
        whole = wide
    whole[first:end] = column
    return whole


def moments(
    series: Sequence[Series],
) -> tuple[npt.NDArray[np.int64], "npt.NDArray[np.int64] | slice", npt.NDArray[np.int64]]:
    """The moments (m,) at which candles close; of the last candle that closes at each, the row and the open time."""
    if len(series) == 1:
        return series[0].close_times(), slice(None), series[0].times
    closes = reduce(_united, (one.close_times() for one in series))
    rows, times, first = np.empty(len(closes), np.int64), np.empty(len(closes), np.int64), 0
    for one in series:
        # At one moment the instruments close in their order.
        places = np.searchsorted(closes, one.close_times())
        rows[places], times[places] = np.arange(first, first + len(places)), one.times
        first += len(places)
    return closes, rows, times


def _united(times: npt.NDArray[np.int64], more: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The times of both, in order and each once."""
    if np.array_equal(times, more):
        return times
    # A stable sort merges what is in order already; np.union1d takes a hundred times as long.
    both = np.sort(np.concatenate([times, more]), kind="stable")
    return both[np.append(True, both[1:] != both[:-1])]


def _exposure_percent(fills: Ticks, first: int, rows: int) -> float:
    """The share of the candles at whose close a position was open, by the fills of one instrument."""
    lots = np.where(fills[:, ACTION] == BUY, fills[:, LOTS], -fills[:, LOTS])
    until_next = np.diff(fills[:, ROW].astype(np.int64) - first, append=rows)
    return 100.0 * float(until_next[np.cumsum(lots) > 0].sum()) / rows


def _cash(options: Options, instruments: Sequence[Instrument]) -> int:
    """The initial balance in the money steps that all instruments share. Raises OptionsError for other currencies."""
    step, balance = instruments[0].money_step, options.initial_balance
    currency = quote_currency(instruments[0].symbol)
    for one in instruments:
        if quote_currency(one.symbol) != currency:
            raise OptionsError(
                f"{instruments[0].symbol} is paid for in {currency}, {one.symbol} in {quote_currency(one.symbol)}: "
                "they cannot share an account, because nothing is converted"
            )
        if one.money_step != step:
            raise OptionsError(
                f"{instruments[0].symbol} is paid for in steps of {step}, {one.symbol} in steps of {one.money_step}: "
                "they cannot share an account"
            )
    return int(balance / step)


def _check_balance(options: Options, instrument: Instrument) -> None:
    balance, step = options.initial_balance, instrument.money_step
    if balance % step:
        raise OptionsError(f"the initial balance {balance} is not in whole steps of {step}")


def _check_prices(history: PriceHistory, instrument: Instrument) -> None:
    lowest, highest = history.tested["low"].min(), history.tested["high"].max()
    if lowest < instrument.price_tick or highest > HIGHEST_PRICE:
        raise OptionsError(
            f"prices from {lowest:g} to {highest:g} are outside {instrument.price_tick} to {HIGHEST_PRICE:g}, "
            f"between which {instrument.symbol} can be accounted for exactly"
        )
