"""Words and figures for people, the same on a terminal and on a page."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from backtests.options import InstrumentSource, Model, Options, StopFill, spell
from backtests.runner import FAST, SLOW, Result, Tested, recipe_of
from engine.orders import Code
from engine.terms import REFERENCE_STOP

NOT_DEFINED = "n/a"

MODELS = {
    Model.RANDOM_FOREST: "Random Forest",
    Model.GRADIENT_BOOSTING: "Gradient Boosting",
    Model.HIST_GRADIENT_BOOSTING: "Histogram Gradient Boosting",
    Model.SMA_CROSS: f"SMA {FAST}/{SLOW} cross (a rule, not trained)",
}

REFUSALS = {
    Code.HOLD: "HOLD asks for no trade",
    Code.POSITION_OPEN: "BUY, but a position is open already",
    Code.NO_POSITION: "SELL, but there is nothing to sell",
    Code.QUANTITY_TOO_SMALL: "less than one lot could be bought",
    Code.NOTIONAL_TOO_SMALL: "the order was below the least that the venue takes",
    Code.POSITION_LIMIT: "the position would have been above the limit",
    Code.INSUFFICIENT_CASH: "there was not enough free cash",
    Code.OPEN_POSITIONS: "as many positions as the limit allows were open",
    Code.EXPOSURE_LIMIT: "all positions together would have been above the limit",
    Code.DAILY_LOSS_LIMIT: "the limit on the loss of a day was reached",
    Code.DRAWDOWN_LIMIT: "the limit on the drawdown was reached",
    Code.ENTRIES_PER_DAY: "as many entries as the limit allows were made that day",
}

RATIOS = (
    ("sharpe", "Sharpe ratio, a year"),
    ("sortino", "Sortino ratio, a year"),
    ("probabilistic_sharpe", "Probability that the true Sharpe is above 0"),
    ("profit_factor", "Profit factor"),
)
PERCENTS = (
    ("return_percent", "Return"),
    ("max_drawdown_percent", "Largest drawdown"),
    ("exposure_percent", "Time in the market"),
    ("win_rate_percent", "Trades won"),
)
AMOUNTS = (
    ("max_drawdown", "Largest drawdown, money"),
    ("gross_profit", "Gross profit"),
    ("gross_loss", "Gross loss"),
    ("average_win", "Average win"),
    ("average_loss", "Average loss"),
    ("total_commission", "Commissions paid"),
    ("total_slippage", "Slippage paid"),
)
COUNTS = (("closed_trades", "Closed trades"), ("winning_trades", "Winning trades"), ("losing_trades", "Losing trades"))


class Figure(NamedTuple):
    """A figure under the name it has in the document."""

    name: str
    label: str
    text: str


def figures(metrics: dict[str, Any]) -> list[Figure]:
    """All metrics of a document, spelt out."""
    return [
        *(Figure(name, label, percent(metrics[name])) for name, label in PERCENTS),
        *(Figure(name, label, ratio(metrics[name])) for name, label in RATIOS),
        *(Figure(name, label, f"{metrics[name]:,}") for name, label in COUNTS),
        *(Figure(name, label, money(metrics[name])) for name, label in AMOUNTS),
    ]


def money(amount: Decimal | None) -> str:
    return NOT_DEFINED if amount is None else f"{amount:,f}"


def percent(value: float | None, sign: bool = False) -> str:
    if value is None:
        return NOT_DEFINED
    return f"{value:{'+' if sign else ''},.2f} %"


def ratio(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{value:.2f}"


def share(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{100 * value:.1f} %"


def refusal(code: str) -> str:
    return REFUSALS.get(Code(code), code.replace("_", " "))


def period(result: Result) -> str:
    return f"{spell(moment(result.times[0]))} to {spell(moment(result.times[-1]))} UTC"


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def assumptions(result: Result) -> Iterator[str]:
    """What the figures rest on, in sentences."""
    options = result.options
    yield "A decision at the close of a candle is filled at the open of the next one, never at the price it saw."
    yield (
        f"Every fill pays {_rate(options.fee_rate)} commission and {_rate(options.slippage)} slippage, rounded against "
        f"the trader to {_ticks(result)} in price and {result.equity.step:f} in money."
    )
    known = "its kind and the candles before the test"
    if options.instrument is InstrumentSource.STORED:
        known = "what is stored of it now"
    yield f"Tick, lot step and least order of a symbol come from {known}."
    yield _learning(result)
    yield from _levels(options)
    size = f"{options.quantity:f} units" if options.quantity is not None else "sized by equity, confidence and risk"
    yield (
        f"Long only, {size}; a position is at most {_rate(options.max_position)} of equity, and BUY or SELL needs a "
        f"probability of {options.confidence:g}."
    )
    yield from _limits(options)
    if result.is_alone:
        yield "Buy-and-hold puts all the cash into the market at the first open it could have, with the same costs."
        return
    yield (
        "The instruments share one account and its limits. Of one moment come first the closes, then the decisions on "
        "them, then the opens: exits before entries, each in the order of the symbols."
    )
    yield (
        "Buy-and-hold splits the cash equally, and buys each instrument at the first open it could have, with the same "
        "costs."
    )


def notes(result: Result) -> list[str]:
    """What people should know about the data."""
    if result.is_alone:
        return list(result.instruments[0].notices)
    return [f"{one.symbol}: {text}" for one in result.instruments for text in (*one.notices, *_span(result, one))]


def _span(result: Result, one: Tested) -> Iterator[str]:
    """Where an instrument has candles for a part of the test only."""
    first, last = one.series.times[0], one.series.times[-1]
    if first > result.times[0]:
        yield f"its candles begin at {spell(moment(first))}, after the others"
    if last < max(other.series.times[-1] for other in result.instruments):
        lots = one.instrument.quantity(one.holding.lots)
        kept = f"; its position of {lots:f} stays open, valued at its last close" if lots else ""
        yield f"its candles end at {spell(moment(last))}, before the others{kept}"


def _learning(result: Result) -> str:
    if not result.options.model.is_trained:
        return "The rule learns nothing from the data, so all of the period is a fair test of it."
    recipe = recipe_of(result.options)
    trainings = sum(len(one.trainings) for one in result.instruments)
    return (
        f"Out of sample: each of {trainings} trainings used only candles whose label was known then; "
        f"a label looks {recipe.horizon} candles ahead for a move of {100 * recipe.threshold:g} %."
    )


def _levels(options: Options) -> Iterator[str]:
    names = {"stop-loss": options.stop_loss, "take-profit": options.take_profit, "trailing stop": options.trailing_stop}
    on = [f"{name} {100 * level:g} %" for name, level in names.items() if level is not None]
    if on:
        yield f"Protective exits: {', '.join(on)}; a candle that touches two levels counts as the worse one."
    if options.stop_loss is not None or options.trailing_stop is not None:
        at = "the low of the candle" if options.stop_fill is StopFill.LOW else "its level"
        yield f"A stop fills at the open of a candle that opens beyond it, and at {at} inside a candle."
    if options.stop_loss is None and options.quantity is None:
        yield f"Without a stop-loss, positions are sized as if one stood {100 * REFERENCE_STOP:g} % below the entry."


def _limits(options: Options) -> Iterator[str]:
    fractions = {
        "all positions together at most {} of equity": options.max_exposure,
        "no entry after a loss of {} within a UTC day": options.max_daily_loss,
        "no entry while equity is {} below its peak": options.max_drawdown,
    }
    counts = {
        "at most {} open positions": options.max_open_positions,
        "at most {} entries a UTC day": options.max_entries_per_day,
    }
    on = [text.format(_rate(value)) for text, value in fractions.items() if value is not None]
    on += [text.format(value) for text, value in counts.items() if value is not None]
    if on:
        yield f"Limits of the account: {', '.join(on)}."


def _ticks(result: Result) -> str:
    ticks = {one.symbol: f"{one.instrument.price_tick:f}" for one in result.instruments}
    if len(set(ticks.values())) == 1:
        return ticks[result.instruments[0].symbol]
    return ", ".join(f"{tick} ({symbol})" for symbol, tick in ticks.items())


def _rate(rate: Decimal) -> str:
    return f"{(100 * rate).normalize():f} %"
