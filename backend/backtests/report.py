"""A run as one HTML page that needs nothing else: no network, no other file."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from plotly.offline import get_plotlyjs

from backtests import charts
from backtests.document import Document
from backtests.exact_json import exact_json
from backtests.options import spell
from backtests.runner import Result, Tested
from backtests.trades import TRADE_COLUMNS, trade_columns
from backtests.wording import MODELS, assumptions, figures, moment, money, percent, period, ratio, refusal, share

if TYPE_CHECKING:
    from learning.training.walk_forward import Training

MOST_TRADES = 30_000
INSTRUMENT_COLUMNS = (
    "symbol",
    "candles",
    "trades",
    "realised profit",
    "commission",
    "in the market",
    "accuracy",
    "buy and hold",
    "tick",
    "lot step",
    "least order",
)


class Card(NamedTuple):
    """A headline figure; `tone` is good, bad or nothing."""

    label: str
    value: str
    aside: str
    tone: str = ""


def render(document: Document, notes: list[str]) -> str:
    result, found = document.result, document.summary
    drawn = result.instruments[: charts.MOST_PRICE_CHARTS]
    prices = {"price" if k == 0 else f"price{k + 1}": one for k, one in enumerate(drawn)}
    return render_to_string(
        "backtests/report.html",
        {
            "title": f"{found['symbol']} {found['interval']}",
            "model": MODELS[result.options.model],
            "period": period(result),
            "candles_text": f"{found['candles']:,}",
            "found": found,
            "assumptions": list(assumptions(result)),
            "notes": notes,
            "cards": cards(found),
            "figures": figures(found["metrics"]),
            "decisions": found["decisions"].items(),
            "refusals": [(code, refusal(code), count) for code, count in found["refusals"].items()],
            "instruments": [] if result.is_alone else [_instrument_row(one) for one in found["instruments"]],
            "instrument_columns": INSTRUMENT_COLUMNS,
            "trainings": [_training(one, training) for one in result.instruments for training in one.trainings],
            "trade_columns": TRADE_COLUMNS,
            "trades": trade_rows(result),
            "trades_count": len(result.fills),
            "hidden_trades": max(len(result.fills) - MOST_TRADES, 0),
            "prices": [
                {
                    "id": name,
                    "symbol": "" if result.is_alone else one.symbol,
                    "trades": len(one.fills),
                    "hidden": charts.hidden_markers(one),
                }
                for name, one in prices.items()
            ],
            "hidden_prices": [one.symbol for one in result.instruments[charts.MOST_PRICE_CHARTS :]],
            "charts": _embedded(
                {
                    **{name: charts.price_chart(result, one) for name, one in prices.items()},
                    "equity": charts.equity_chart(result),
                    "drawdown": charts.drawdown_chart(result),
                }
            ),
            "plotly": mark_safe(get_plotlyjs()),  # noqa: S308  (the library's own code)
        },
    )


def cards(found: dict[str, Any]) -> list[Card]:
    metrics, held = found["metrics"], found["buy_and_hold_return_percent"]
    accuracy, baseline = found["accuracy"], found["baseline_accuracy"]
    costs = metrics["total_commission"] + metrics["total_slippage"]
    return [
        Card("Return", percent(found["return_percent"], sign=True), f"{money(found['final_equity'])} at the end",
             _tone(found["return_percent"])),
        Card("Buy and hold", percent(held, sign=True), "same costs, no decisions"),
        Card("Sharpe ratio", ratio(metrics["sharpe"]), "a year; Sortino " + ratio(metrics["sortino"]),
             _tone(metrics["sharpe"])),
        Card("Largest drawdown", percent(metrics["max_drawdown_percent"]), money(metrics["max_drawdown"])),
        Card("Profit factor", ratio(metrics["profit_factor"]),
             f"{metrics['closed_trades']:,} closed trades, {percent(metrics['win_rate_percent'])} won"),
        Card("Costs", money(costs), f"commission {money(metrics['total_commission'])}, slippage "
             f"{money(metrics['total_slippage'])}"),
        Card("Accuracy", share(accuracy), "a rule foretells nothing") if accuracy is None else
        Card("Accuracy", share(accuracy), f"out of sample; always the majority class: {share(baseline)}",
             _tone(accuracy - baseline)),
        Card("Time in the market", percent(metrics["exposure_percent"]), f"{found['candles']:,} candles"),
    ]  # fmt: skip


def trade_rows(result: Result) -> SafeString:
    """The rows of the table of trades; of more than MOST_TRADES the first and the last half."""
    fills = result.fills
    if len(fills) > MOST_TRADES:
        fills = np.concatenate([fills[: MOST_TRADES // 2], fills[-MOST_TRADES // 2 :]])
    rows = zip(*trade_columns(result, fills).values(), strict=True)
    # A symbol is made of letters, digits and ".=^-": nothing to escape.
    text = "\n".join(["<tr>" + "".join([f"<td>{cell}" for cell in row]) for row in rows])
    return mark_safe(text)  # noqa: S308


def _instrument_row(found: dict[str, Any]) -> list[str]:
    facts = found["instrument"]
    return [
        found["symbol"],
        f"{found['candles']:,}",
        f"{found['trades']:,}",
        money(found["realised_profit"]),
        money(found["commission"]),
        percent(found["exposure_percent"]),
        share(found["accuracy"]),
        percent(found["buy_and_hold_return_percent"], sign=True),
        *(f"{facts[name]:f}" for name in ("price_tick", "lot_step", "minimum_notional")),
    ]


def _training(one: Tested, training: "Training") -> dict[str, Any]:
    sell, hold, buy = training.class_counts
    return {
        "symbol": one.symbol,
        "used_from": spell(moment(one.series.times[training.row - one.history])),
        "rows": training.rows_trained,
        "first": spell(training.first_time.to_pydatetime()),
        "last": spell(training.last_time.to_pydatetime()),
        "sell": sell,
        "hold": hold,
        "buy": buy,
    }


def _embedded(value: Any) -> SafeString:
    """JSON inside a script element, where no `<` may end it."""
    text = exact_json(value)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return mark_safe(text)  # noqa: S308  (escaped above)


def _tone(value: float | None) -> str:
    if value is None or value == 0:
        return ""
    return "good" if value > 0 else "bad"
