"""A finished run candle by candle, for people who want to watch it."""

from collections.abc import Iterator

import numpy as np

from backtests.runner import Result, Tested, moments
from backtests.trades import open_times, trade_columns
from engine.history import ROW
from engine.orders import NO_DECISION, OUTCOMES, Action

NOTHING = "-"


def lines(result: Result) -> Iterator[str]:
    """One line for each candle: time, close, what was decided at the close, what was traded in it, equity."""
    happened = _trades_by_row(result)
    closes = np.concatenate([one.series.close_times() for one in result.instruments])
    owners = np.repeat(range(len(result.instruments)), [len(one.series.times) for one in result.instruments])
    # Candles that close at one moment come in the order of the instruments.
    order = np.argsort(closes, kind="stable")
    points = np.searchsorted(moments([one.series for one in result.instruments])[0], closes[order])
    for row, owner, point in zip(order.tolist(), owners[order].tolist(), points.tolist(), strict=True):
        one = result.instruments[owner]
        at = row - one.first
        (time,) = open_times(one.series.times[at : at + 1])
        name = "" if result.is_alone else f"{one.symbol:<12}  "
        close = one.prices(one.series.close[at : at + 1]).item()
        traded = ", ".join(happened.get(row, ())) or NOTHING
        yield (
            f"{time}  {name}close {close:<12g}  {_decision(one, at):<34}  {traded:<44}  "
            f"equity {result.equity.at(point):,}"
        )


def _trades_by_row(result: Result) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    columns = trade_columns(result, result.fills)
    names = ("action", "quantity", "price", "reason", "pnl")
    for row, *texts in zip(result.fills[:, ROW].tolist(), *(columns[name] for name in names), strict=True):
        found.setdefault(row, []).append(trade_text(*texts))
    return found


def trade_text(action: str, quantity: str, price: str, reason: str, pnl: str) -> str:
    gain = f" ({reason}, pnl {'' if pnl.startswith('-') else '+'}{pnl})" if pnl else ""
    return f"{action} {quantity} at {price}{gain}"


def _decision(one: Tested, row: int) -> str:
    action = int(one.series.actions[row])
    if action == NO_DECISION:
        return "warming up"
    return f"{Action(action).name:<4} {one.series.confidence[row]:.2f} -> {OUTCOMES[one.outcomes[row]]}"
