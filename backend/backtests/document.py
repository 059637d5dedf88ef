"""The result of a run as JSON: what `--json` prints, and what is stored of it.

Money, prices and quantities are JSON numbers with their declared places and never pass through a float. A time names a
candle by its open time: a trade happened in that candle, the equity is the one at its close. Nothing in it comes from
the clock or the database, so the same candles, seed and options give the same bytes.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from engine.jump import Trade

from backtests.curve import Curve, thinned
from backtests.exact_json import exact_json
from backtests.options import spell_exactly
from backtests.runner import Result
from engine.orders import ZERO, Instrument

FLOAT_PLACES = 6
STORED_POINTS = 2000
_BLOCK = 50_000


@dataclass(frozen=True)
class Document:
    """A result in the form of the JSON object; its parts are made once, when they are asked for."""

    result: Result

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Everything but the trades and the equity."""
        result = self.result
        options, index, score = result.options, result.candles.index, result.score
        return {
            "symbol": options.symbol,
            "interval": options.interval,
            "start": spell_exactly(index[0]),
            "end": spell_exactly(index[-1]),
            "candles": len(index),
            "seed": options.seed,
            "model": options.model.value,
            "initial_balance": in_money(options.initial_balance, result.instrument),
            "final_equity": result.equity.at(-1),
            "free_cash": in_money(result.replay.book.cash, result.instrument),
            "return_percent": _rounded(result.metrics.return_percent),
            "buy_and_hold_return_percent": _rounded(result.buy_and_hold.percent(options.initial_balance)),
            "accuracy": None if score is None else _rounded(score.accuracy),
            "baseline_accuracy": None if score is None else _rounded(score.majority_accuracy),
            "metrics": _metrics(result),
            "decisions": result.replay.decisions_by_action(),
            "refusals": result.replay.refusals_by_code(),
        }

    @cached_property
    def trades(self) -> list[dict[str, Any]]:
        """One object for each fill; `pnl` is net of both commissions and null on a BUY, `slippage` is per unit."""
        found = self.result.replay.trades
        times = open_times(self.result.candles.index[[trade.row for trade in found]])
        return [_trade(trade, time) for trade, time in zip(found, times, strict=True)]

    def thinned_equity(self) -> list[tuple[str, Decimal]]:
        """At most STORED_POINTS of the equity: the first, the last, and the extremes between them."""
        equity = self.result.equity
        rows = thinned(equity.floats(), STORED_POINTS)
        times = open_times(self.result.candles.index[rows])
        return [(time, equity.at(row)) for time, row in zip(times, rows.tolist(), strict=True)]

    def chunks(self) -> Iterator[str]:
        """The text of the object in pieces, so that a million candles need no second copy in memory."""
        head = {**self.summary, "trades": self.trades}
        yield f'{exact_json(head)[:-1]},"equity":['
        index = self.result.candles.index
        for first in range(0, len(index), _BLOCK):
            rows = slice(first, first + _BLOCK)
            yield ("" if first == 0 else ",") + _equity_text(index[rows], self.result.equity, rows)
        yield "]}\n"


def open_times(index: pd.Index) -> list[str]:
    """ISO 8601 with a Z, in whole seconds, for times in UTC."""
    seconds = pd.DatetimeIndex(index).as_unit("s").tz_localize(None).to_numpy()
    times: list[str] = np.datetime_as_string(seconds, timezone="UTC").tolist()
    return times


def in_money(amount: Decimal, instrument: Instrument) -> Decimal:
    """An amount with the places of the account's money."""
    return amount.quantize(instrument.money_step, ROUND_HALF_EVEN)


def _equity_text(index: pd.Index, curve: Curve, rows: slice) -> str:
    counts = curve.counts[rows].tolist()
    pairs = zip(open_times(index), counts, strict=True)
    # A step of 10 ** -places lets integers be written with their decimal point put in.
    if curve.step.as_tuple().digits == (1,) and curve.step < 1:
        places = -curve.step.adjusted()
        unit, pair = 10**places, f'["%s",%d.%0{places}d]'
        return ",".join([pair % (time, count // unit, count % unit) for time, count in pairs])
    return ",".join([f'["{time}",{count * curve.step}]' for time, count in pairs])


def _trade(trade: Trade, time: str) -> dict[str, Any]:
    fill = trade.fill
    return {
        "time": time,
        "action": fill.order.action.name,
        "price": fill.price,
        "quantity": fill.order.quantity,
        "commission": fill.commission,
        "slippage": fill.slippage,
        "pnl": trade.profit,
        "reason": fill.order.reason.value,
    }


def _metrics(result: Result) -> dict[str, Any]:
    """The metrics by name, and what the trades cost. Money in money's places, all else in FLOAT_PLACES."""
    known = asdict(result.metrics)
    known["max_drawdown"] = Decimal(repr(known["max_drawdown"]))
    fills = [trade.fill for trade in result.replay.trades]
    known["total_commission"] = result.replay.book.commissions
    known["total_slippage"] = sum((fill.slippage * fill.order.quantity for fill in fills), ZERO)
    return {name: _plain(value, result.instrument) for name, value in known.items()}


def _plain(value: Any, instrument: Instrument) -> Any:
    if isinstance(value, Decimal):
        return in_money(value, instrument)
    return _rounded(value) if isinstance(value, float) else value


def _rounded(value: float) -> float:
    # Adding zero turns -0.0 into 0.0.
    return round(value, FLOAT_PLACES) + 0.0
