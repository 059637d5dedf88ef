"""The charts of a report as Plotly's own JSON, thinned so that a page of any run opens on a phone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from engine.jump import Trade

from backtests.curve import thinned
from backtests.document import open_times
from backtests.runner import Result
from engine.indicators import Array
from engine.orders import Action, Reason

MOST_CANDLES = 3000
MOST_POINTS = 4000
MOST_MARKERS = 600
CROWDED = 150

UP, DOWN, ENTRY, STRATEGY, NEUTRAL = "#12917a", "#d1495b", "#2f5fd0", "#2f5fd0", "#8b93a3"
EXITS = {
    Reason.SIGNAL: ("Exit on SELL", "#e08a1e"),
    Reason.STOP_LOSS: ("Stop-loss", DOWN),
    Reason.TAKE_PROFIT: ("Take-profit", UP),
    Reason.TRAILING_STOP: ("Trailing stop", "#8a4fbf"),
}

Spec = dict[str, Any]


def price_chart(result: Result) -> Spec:
    """Candles, or a line where there are too many of them, with entries and exits."""
    prices = _candles(result) if len(result.candles) <= MOST_CANDLES else _closes(result)
    return {"data": [prices, *_markers(result)], "layout": _layout(result)}


def equity_chart(result: Result) -> Spec:
    strategy, held = result.equity.floats(), result.buy_and_hold.floats()
    lines = [
        _line(result, held, "Buy and hold", NEUTRAL, width=1.4),
        _line(result, strategy, "Strategy", STRATEGY, width=2),
    ]
    return {"data": lines, "layout": _layout(result)}


def drawdown_chart(result: Result) -> Spec:
    held = _line(result, drawdown_percent(result.buy_and_hold.floats()), "Buy and hold", NEUTRAL, width=1)
    own = _line(result, drawdown_percent(result.equity.floats()), "Strategy", DOWN, width=1.4)
    layout = _layout(result)
    layout["yaxis"]["ticksuffix"] = " %"
    return {"data": [held, {**own, "fill": "tozeroy", "fillcolor": "rgba(209,73,91,0.16)"}], "layout": layout}


def drawdown_percent(equity: Array) -> Array:
    """How far each value is below the highest one before it, as a negative percentage."""
    highs = np.maximum.accumulate(equity)
    percent: Array = 100.0 * (equity / highs - 1.0)
    return percent


def hidden_markers(result: Result) -> int:
    """How many trades the price chart leaves out."""
    return max(len(result.replay.trades) - MOST_MARKERS, 0)


def _candles(result: Result) -> Spec:
    columns = {name: result.candles[name].to_list() for name in ("open", "high", "low", "close")}
    return {
        "type": "candlestick",
        "name": result.options.symbol,
        "x": open_times(result.candles.index),
        **columns,
        "increasing": {"line": {"color": UP, "width": 1}},
        "decreasing": {"line": {"color": DOWN, "width": 1}},
        "opacity": 0.75,
        "showlegend": False,
    }


def _closes(result: Result) -> Spec:
    line = _line(result, result.candles["close"].to_numpy(), result.options.symbol, NEUTRAL, width=1.2)
    return {**line, "showlegend": False}


def _line(result: Result, values: Array, name: str, colour: str, width: float) -> Spec:
    rows = thinned(values, MOST_POINTS)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": open_times(result.candles.index[rows]),
        "y": [_short(value) for value in values[rows].tolist()],
        "line": {"color": colour, "width": width},
    }


def _markers(result: Result) -> list[Spec]:
    trades = result.replay.trades
    if len(trades) > MOST_MARKERS:
        # Entries and exits alternate: a kept entry keeps its exit.
        first = 2 * np.linspace(0, len(trades) // 2 - 1, MOST_MARKERS // 2).astype(int)
        trades = [trades[row] for entry in first.tolist() for row in (entry, entry + 1)]
    entries = [trade for trade in trades if trade.fill.order.action is Action.BUY]
    found = [_marker(result, entries, "Entry", ENTRY, "triangle-up")] if entries else []
    for reason, (name, colour) in EXITS.items():
        exits = [trade for trade in trades if trade.profit is not None and trade.fill.order.reason is reason]
        if exits:
            found.append(_marker(result, exits, name, colour, "triangle-down"))
    return found


def _marker(result: Result, trades: Sequence[Trade], name: str, colour: str, symbol: str) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": open_times(result.candles.index[[trade.row for trade in trades]]),
        "y": [float(trade.fill.price) for trade in trades],
        "text": [_told(trade) for trade in trades],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "symbol": symbol,
            "size": 10 if len(result.replay.trades) <= CROWDED else 7,
            "color": colour,
            "line": {"color": "#ffffff", "width": 0.8},
        },
    }


def _told(trade: Trade) -> str:
    fill = trade.fill
    gain = "" if trade.profit is None else f", pnl {trade.profit:+,}"
    return f"{fill.order.action.name} {fill.order.quantity:f} at {fill.price:f}{gain}"


def _layout(result: Result) -> Spec:
    index = result.candles.index
    return {
        "margin": {"l": 66, "r": 12, "t": 8, "b": 30},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {
            "type": "date",
            "range": open_times(index[[0, -1]]),
            "rangeslider": {"visible": False},
            "showgrid": False,
        },
        "yaxis": {"zeroline": False, "automargin": True, "exponentformat": "none", "separatethousands": True},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }


def _short(value: float) -> float:
    """Nine digits are finer than any screen, and half the bytes."""
    return float(f"{value:.9g}")
