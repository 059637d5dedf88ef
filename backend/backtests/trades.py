"""The fills of a run as columns of text: exact, and without an object for each of them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from backtests.runner import Result, Tested
from engine.history import ACTION, COMMISSION, LOTS, PRICE, PROFIT, REASON, REQUESTED, ROW
from engine.orders import SELL, Action, Reason, Ticks

TRADE_COLUMNS = ("time", "symbol", "action", "price", "quantity", "commission", "slippage", "pnl", "reason")
"""`pnl` is net of both commissions and "" for a BUY; `slippage` is per unit."""

Columns = dict[str, list[str]]

_BLOCK = 4096
_JSON_ROW = (
    '{"time":"%s","symbol":"%s","action":"%s","price":%s,"quantity":%s,"commission":%s,"slippage":%s,"pnl":%s,'
    '"reason":"%s"}'
)
_REASONS = [reason.value for reason in Reason]
_ACTIONS = [action.name for action in Action]


def trade_columns(result: Result, fills: Ticks) -> Columns:
    """TRADE_COLUMNS of some of the fills of a run, each (m,)."""
    if result.is_alone:
        return _columns(result.instruments[0], fills)
    columns = {name: np.empty(len(fills), dtype=object) for name in TRADE_COLUMNS}
    rows = fills[:, ROW]
    for one in result.instruments:
        own = (rows >= one.first) & (rows < one.first + len(one.series.times))
        for name, texts in _columns(one, fills[own]).items():
            columns[name][own] = texts
    return {name: texts.tolist() for name, texts in columns.items()}


def trades_json(result: Result) -> str:
    """All trades as a JSON list of objects."""
    rows: list[str] = []
    for first in range(0, len(result.fills), _BLOCK):
        columns = trade_columns(result, result.fills[first : first + _BLOCK])
        columns["pnl"] = [text or "null" for text in columns["pnl"]]
        rows += [_JSON_ROW % row for row in zip(*columns.values(), strict=True)]
    return f"[{','.join(rows)}]"


def steps_text(counts: Iterable[int], step: Decimal) -> list[str]:
    """Whole numbers of a step, written out with the places of the step."""
    _, digits, exponent = step.as_tuple()
    factor = int("".join(map(str, digits)))
    if not isinstance(exponent, int):
        raise ValueError(f"{step} is not a step")
    if exponent >= 0:
        factor *= 10**exponent
        return [str(count * factor) for count in counts]
    places, unit = -exponent, 10**-exponent
    form = f"%d.%0{places}d"
    if factor != 1:
        counts = [count * factor for count in counts]
    return [
        form % divmod(count, unit) if count >= 0 else f"-{form % divmod(-count, unit)}"
        for count in counts
    ]  # fmt: skip


def open_times(seconds: npt.NDArray[np.int64]) -> list[str]:
    """ISO 8601 with a Z, in whole seconds, for seconds since 1970."""
    times: list[str] = np.datetime_as_string(seconds.astype("datetime64[s]"), timezone="UTC").tolist()
    return times


def _columns(one: Tested, fills: Ticks) -> Columns:
    instrument = one.instrument

    def column(number: int) -> list[Any]:
        found: list[Any] = fills[:, number].tolist()
        return found

    rows = fills[:, ROW].astype(np.int64) - one.first
    actions = column(ACTION)
    profits = steps_text(column(PROFIT), instrument.money_step)
    slippage = np.abs(fills[:, PRICE] - fills[:, REQUESTED]).tolist()
    return {
        "time": open_times(one.series.times[rows]),
        "symbol": [instrument.symbol] * len(fills),
        "action": [_ACTIONS[action] for action in actions],
        "price": steps_text(column(PRICE), instrument.price_tick),
        "quantity": steps_text(column(LOTS), instrument.lot_step),
        "commission": steps_text(column(COMMISSION), instrument.money_step),
        "slippage": steps_text(slippage, instrument.price_tick),
        "pnl": [profit if action == SELL else "" for profit, action in zip(profits, actions, strict=True)],
        "reason": [_REASONS[reason] for reason in column(REASON)],
    }
