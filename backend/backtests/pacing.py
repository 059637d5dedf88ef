"""A finished run told candle by candle, for people who want to watch it."""

from collections.abc import Iterator

from engine.jump import OUTCOMES, Trade

from backtests.document import open_times
from backtests.runner import Result
from engine.orders import NO_DECISION, Action

NOTHING = "-"


def lines(result: Result) -> Iterator[str]:
    """One line for each candle: time, close, what was decided at the close, what was traded before it, equity."""
    happened = _trades_by_row(result)
    closes = result.candles["close"].to_list()
    for row, time in enumerate(open_times(result.candles.index)):
        traded = ", ".join(_spell(trade) for trade in happened.get(row, ())) or NOTHING
        told = f"{time}  close {closes[row]:<12g}  {_decision(result, row):<34}  {traded:<44}"
        yield f"{told}  equity {result.equity.at(row):,}"


def _trades_by_row(result: Result) -> dict[int, list[Trade]]:
    found: dict[int, list[Trade]] = {}
    for trade in result.replay.trades:
        found.setdefault(trade.row, []).append(trade)
    return found


def _decision(result: Result, row: int) -> str:
    action = int(result.replay.actions[row])
    if action == NO_DECISION:
        return "warming up"
    outcome = OUTCOMES[result.replay.outcomes[row]]
    return f"{Action(action).name:<4} {result.replay.confidence[row]:.2f} -> {outcome}"


def _spell(trade: Trade) -> str:
    fill = trade.fill
    gain = "" if trade.profit is None else f" ({fill.order.reason.value}, pnl {trade.profit:+,})"
    return f"{fill.order.action.name} {fill.order.quantity:f} at {fill.price:f}{gain}"
