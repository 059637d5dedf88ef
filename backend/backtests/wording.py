"""Words and figures for people, the same on a terminal and on a page."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from backtests.options import Model, Options, spell
from backtests.runner import FAST, SLOW, Result, recipe_of
from backtests.series import Series
from engine.orders import Code

NOT_DEFINED = "n/a"

MODELS = {
    Model.RANDOM_FOREST: "Random Forest",
    Model.GRADIENT_BOOSTING: "Gradient Boosting",
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
    index = result.candles.index
    return f"{spell(index[0].to_pydatetime())} to {spell(index[-1].to_pydatetime())} UTC"


def assumptions(result: Result) -> Iterator[str]:
    """What the figures rest on, in sentences."""
    options, rules = result.options, result.options.rules(result.instrument)
    yield "A decision at the close of a candle is filled at the open of the next one, never at the price it saw."
    yield (
        f"Every fill pays {_rate(options.fee_rate)} commission and {_rate(options.slippage)} slippage, rounded against "
        f"the trader to {result.instrument.price_tick:f} in price and {result.instrument.money_step:f} in money."
    )
    yield _learning(result)
    yield from _levels(options)
    size = f"{options.quantity:f} units" if options.quantity is not None else "sized by equity, confidence and risk"
    yield (
        f"Long only, {size}; a position is at most {_rate(options.max_position)} of equity, and BUY or SELL needs a "
        f"probability of {rules.policy.confidence_threshold:g}."
    )
    yield "Buy-and-hold puts all the cash into the market at the first open it could have, with the same costs."


def notes(result: Result, series: Series) -> list[str]:
    """What people should know about the data."""
    return [*series.notices, *([] if result.gaps is None else [result.gaps])]


def _learning(result: Result) -> str:
    if not result.options.model.is_trained:
        return "The rule learns nothing from the data, so all of the period is a fair test of it."
    recipe = recipe_of(result.options)
    return (
        f"Out of sample: each of {len(result.trainings)} trainings used only candles whose label was known then; "
        f"a label looks {recipe.horizon} candles ahead for a move of {100 * recipe.threshold:g} %."
    )


def _levels(options: Options) -> Iterator[str]:
    names = {"stop-loss": options.stop_loss, "take-profit": options.take_profit, "trailing stop": options.trailing_stop}
    on = [f"{name} {100 * level:g} %" for name, level in names.items() if level is not None]
    if on:
        yield f"Protective exits: {', '.join(on)}; a candle that touches two levels counts as the worse one."


def _rate(rate: Decimal) -> str:
    return f"{(100 * rate).normalize():f} %"
