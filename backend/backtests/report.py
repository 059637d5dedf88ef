"""A run as one HTML page that needs nothing else: no network, no other file."""

from typing import Any, NamedTuple

from django.template.loader import render_to_string
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from plotly.offline import get_plotlyjs

from backtests import charts
from backtests.document import Document
from backtests.exact_json import exact_json
from backtests.options import spell
from backtests.wording import MODELS, assumptions, figures, money, percent, period, ratio, refusal, share
from learning.training.walk_forward import Training

MOST_TRADES = 30_000
TRADE_COLUMNS = ("time", "action", "price", "quantity", "commission", "slippage", "pnl", "reason")


class Card(NamedTuple):
    """A headline figure; `tone` is good, bad or nothing."""

    label: str
    value: str
    aside: str
    tone: str = ""


def render(document: Document, notes: list[str]) -> str:
    result, found = document.result, document.summary
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
            "trainings": [_training(document, training) for training in result.trainings],
            "trade_columns": TRADE_COLUMNS,
            "trades": trade_rows(document.trades),
            "trades_count": len(document.trades),
            "hidden_trades": max(len(document.trades) - MOST_TRADES, 0),
            "hidden_markers": charts.hidden_markers(result),
            "charts": _embedded(
                {
                    "price": charts.price_chart(result),
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


def trade_rows(trades: list[dict[str, Any]]) -> SafeString:
    """The rows of the table of trades; of more than MOST_TRADES the first and the last half."""
    if len(trades) > MOST_TRADES:
        trades = [*trades[: MOST_TRADES // 2], *trades[-MOST_TRADES // 2 :]]
    return mark_safe("\n".join(_trade_row(trade) for trade in trades))  # noqa: S308  (every cell is escaped)


def _trade_row(trade: dict[str, Any]) -> str:
    cells = (_cell(trade[name]) for name in TRADE_COLUMNS)
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return escape(value) if isinstance(value, str) else f"{value:f}"


def _training(document: Document, training: Training) -> dict[str, Any]:
    index = document.result.candles.index
    first_use = index[training.row - document.result.history].to_pydatetime()
    sell, hold, buy = training.class_counts
    return {
        "used_from": spell(first_use),
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
