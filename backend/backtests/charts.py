"""The charts of a report as Plotly's own JSON, thinned so that a page of any run opens on a phone."""

from typing import Any

import numpy as np
import numpy.typing as npt

from backtests.curve import thinned
from backtests.pacing import trade_text
from backtests.runner import Result, Tested
from backtests.trades import open_times, trade_columns
from engine.history import ACTION, PRICE, REASON
from engine.orders import BUY, SELL, Array, Reason, Ticks

MOST_CANDLES = 3000
MOST_POINTS = 4000
MOST_MARKERS = 600
MOST_PRICE_CHARTS = 6
CROWDED = 150

UP, DOWN, ENTRY, STRATEGY, NEUTRAL = "#12917a", "#d1495b", "#2f5fd0", "#2f5fd0", "#8b93a3"
EXITS = {
    Reason.SIGNAL: ("Exit on SELL", "#e08a1e"),
    Reason.STOP_LOSS: ("Stop-loss", DOWN),
    Reason.TAKE_PROFIT: ("Take-profit", UP),
    Reason.TRAILING_STOP: ("Trailing stop", "#8a4fbf"),
}

Spec = dict[str, Any]


def price_chart(result: Result, one: Tested) -> Spec:
    """Candles, or a line where there are too many of them, with entries and exits."""
    prices = _candles(one) if len(one.series.times) <= MOST_CANDLES else _closes(one)
    return {"data": [prices, *_markers(result, one)], "layout": _layout(result)}


def equity_chart(result: Result) -> Spec:
    strategy, held = result.equity.floats(), result.buy_and_hold.floats()
    lines = [
        _line(result.times, held, "Buy and hold", NEUTRAL, width=1.4),
        _line(result.times, strategy, "Strategy", STRATEGY, width=2),
    ]
    return {"data": lines, "layout": _layout(result)}


def drawdown_chart(result: Result) -> Spec:
    held = _line(result.times, drawdown_percent(result.buy_and_hold.floats()), "Buy and hold", NEUTRAL, width=1)
    own = _line(result.times, drawdown_percent(result.equity.floats()), "Strategy", DOWN, width=1.4)
    layout = _layout(result)
    layout["yaxis"]["ticksuffix"] = " %"
    return {"data": [held, {**own, "fill": "tozeroy", "fillcolor": "rgba(209,73,91,0.16)"}], "layout": layout}


def drawdown_percent(equity: Array) -> Array:
    """How far each value is below the highest one before it, as a negative percentage."""
    highs = np.maximum.accumulate(equity)
    percent: Array = 100.0 * (equity / highs - 1.0)
    return percent


def hidden_markers(one: Tested) -> int:
    """How many trades the price chart leaves out."""
    return max(len(one.fills) - MOST_MARKERS, 0)


def _candles(one: Tested) -> Spec:
    series = one.series
    columns = {"open": series.open, "high": series.high, "low": series.low, "close": series.close}
    return {
        "type": "candlestick",
        "name": one.symbol,
        "x": open_times(series.times),
        **{name: one.prices(ticks).tolist() for name, ticks in columns.items()},
        "increasing": {"line": {"color": UP, "width": 1}},
        "decreasing": {"line": {"color": DOWN, "width": 1}},
        "opacity": 0.75,
        "showlegend": False,
    }


def _closes(one: Tested) -> Spec:
    line = _line(one.series.times, one.prices(one.series.close), one.symbol, NEUTRAL, width=1.2)
    return {**line, "showlegend": False}


def _line(times: npt.NDArray[np.int64], values: Array, name: str, colour: str, width: float) -> Spec:
    rows = thinned(values, MOST_POINTS)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": open_times(times[rows]),
        "y": [_short(value) for value in values[rows].tolist()],
        "line": {"color": colour, "width": width},
    }


def _markers(result: Result, one: Tested) -> list[Spec]:
    fills = one.fills
    if len(fills) > MOST_MARKERS:
        # Entries and exits alternate: a kept entry keeps its exit.
        first = 2 * np.linspace(0, len(fills) // 2 - 1, MOST_MARKERS // 2).astype(int)
        fills = fills[np.column_stack([first, first + 1]).ravel()]
    groups = [(fills[:, ACTION] == BUY, "Entry", ENTRY, "triangle-up")]
    for number, reason in enumerate(Reason):
        if reason in EXITS:
            name, colour = EXITS[reason]
            exits = (fills[:, ACTION] == SELL) & (fills[:, REASON] == number)
            groups.append((exits, name, colour, "triangle-down"))
    return [_marker(result, one, fills[chosen], *look) for chosen, *look in groups if chosen.any()]


def _marker(result: Result, one: Tested, fills: Ticks, name: str, colour: str, shape: str) -> Spec:
    columns = trade_columns(result, fills)
    spelt = ("action", "quantity", "price", "reason", "pnl")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": columns["time"],
        "y": one.prices(fills[:, PRICE]).tolist(),
        "text": [trade_text(*texts) for texts in zip(*(columns[name] for name in spelt), strict=True)],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "symbol": shape,
            "size": 10 if len(one.fills) <= CROWDED else 7,
            "color": colour,
            "line": {"color": "#ffffff", "width": 0.8},
        },
    }


def _layout(result: Result) -> Spec:
    return {
        "margin": {"l": 66, "r": 12, "t": 8, "b": 30},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {
            "type": "date",
            "range": open_times(result.times[[0, -1]]),
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
