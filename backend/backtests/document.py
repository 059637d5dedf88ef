"""The result of a run as JSON: what `--json` prints, and what is stored of it.

Money, prices and quantities are JSON numbers with their declared places and never pass through a float. A time names a
candle by its open time: a trade happened in that candle, the equity is the one at its close. Of several instruments a
point of the equity is named by the last candle that closes at its moment. Nothing in it comes from the clock or, unless
the options ask for stored instruments, the database: the same candles, seed and options give the same bytes.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from backtests.curve import thinned
from backtests.exact_json import JsonText, exact_json
from backtests.runner import Result, Tested
from backtests.trades import open_times, steps_text, trades_json
from engine.history import ACTION, COMMISSION, LOTS, PRICE, PROFIT, REQUESTED
from engine.orders import SELL, ZERO, Action, refusal_counts, rounded

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
        options, equity = result.options, result.equity
        start, end = open_times(result.times[[0, -1]])
        return {
            "symbol": options.symbol,
            "interval": options.interval,
            "start": start,
            "end": end,
            "candles": result.candles,
            "seed": options.seed,
            "model": options.model.value,
            "initial_balance": rounded(options.initial_balance, equity.step),
            "final_equity": equity.at(-1),
            "free_cash": result.account.cash * equity.step,
            "return_percent": _rounded(result.metrics.return_percent),
            "buy_and_hold_return_percent": _rounded(result.buy_and_hold.percent(options.initial_balance)),
            "accuracy": _pooled(result, "accuracy"),
            "baseline_accuracy": _pooled(result, "majority_accuracy"),
            "metrics": _metrics(result),
            "decisions": _decisions([one.series.actions for one in result.instruments]),
            "refusals": refusal_counts(result.outcomes),
            "symbols": list(options.symbols),
            "instruments": [_instrument(result, one) for one in result.instruments],
        }

    @cached_property
    def trades_text(self) -> JsonText:
        """A JSON list with one object for each fill; `pnl` is null on a BUY."""
        return JsonText(trades_json(self.result))

    def thinned_equity(self) -> list[tuple[str, Decimal]]:
        """At most STORED_POINTS of the equity: the first, the last, and the extremes between them."""
        equity = self.result.equity
        rows = thinned(equity.counts, STORED_POINTS)
        return [
            (time, equity.at(row))
            for time, row in zip(open_times(self.result.times[rows]), rows.tolist(), strict=True)
        ]  # fmt: skip

    def chunks(self) -> Iterator[str]:
        """The text of the object in pieces, so that a million candles need no second copy in memory."""
        yield f'{exact_json(self.summary)[:-1]},"trades":'
        yield self.trades_text
        yield ',"equity":['
        times, equity = self.result.times, self.result.equity
        for first in range(0, len(times), _BLOCK):
            rows = slice(first, first + _BLOCK)
            values = steps_text(equity.counts[rows].tolist(), equity.step)
            points = zip(open_times(times[rows]), values, strict=True)
            yield ("" if first == 0 else ",") + ",".join([f'["{time}",{value}]' for time, value in points])
        yield "]}\n"


def _instrument(result: Result, one: Tested) -> dict[str, Any]:
    """What one instrument brought; its equity alone is not known, as the cash is shared."""
    money, fills, score = one.instrument.money, one.fills, one.score
    sales = fills[fills[:, ACTION] == SELL]
    start, end = open_times(one.series.times[[0, -1]])
    return {
        "symbol": one.symbol,
        "candles": len(one.series.times),
        "start": start,
        "end": end,
        "trades": len(fills),
        "closed_trades": len(sales),
        "realised_profit": money(sum(sales[:, PROFIT].tolist())),
        "commission": money(sum(fills[:, COMMISSION].tolist())),
        "exposure_percent": _rounded(one.exposure_percent),
        "accuracy": None if score is None else _rounded(score.accuracy),
        "baseline_accuracy": None if score is None else _rounded(score.majority_accuracy),
        "buy_and_hold_return_percent": _rounded(one.buy_and_hold_percent),
        "decisions": _decisions([one.series.actions]),
        "refusals": refusal_counts(one.outcomes),
        "instrument": instrument_facts(result, one),
    }


def instrument_facts(result: Result, one: Tested) -> dict[str, Any]:
    """The steps in which an instrument was traded, and where they come from."""
    instrument = one.instrument
    return {
        "price_tick": instrument.price_tick,
        "lot_step": instrument.lot_step,
        "minimum_notional": instrument.minimum_notional,
        "money_step": instrument.money_step,
        "source": result.options.instrument.value,
    }


def _decisions(actions: list[npt.NDArray[np.int8]]) -> dict[str, int]:
    # NO_DECISION is -1, the action before SELL.
    counts = np.sum([np.bincount(part + 1, minlength=1 + len(Action)) for part in actions], axis=0)
    return {action.name: int(counts[1 + action]) for action in reversed(Action)}


def _pooled(result: Result, name: str) -> float | None:
    """A share of the scores over the predictions of all instruments."""
    scores = [one.score for one in result.instruments if one.score is not None]
    if not scores:
        return None
    return _rounded(sum(getattr(score, name) * score.rows for score in scores) / sum(score.rows for score in scores))


def _metrics(result: Result) -> dict[str, Any]:
    """The metrics by name, and what the trades cost. Money in money's places, all else in FLOAT_PLACES."""
    known = asdict(result.metrics)
    known["max_drawdown"] = Decimal(repr(known["max_drawdown"]))
    known["total_commission"] = result.account.commissions * result.equity.step
    known["total_slippage"] = sum((_slippage(one) for one in result.instruments), ZERO)
    return {name: _plain(value, result.equity.step) for name, value in known.items()}


def _slippage(one: Tested) -> Decimal:
    steps = np.abs(one.fills[:, PRICE] - one.fills[:, REQUESTED]) * one.fills[:, LOTS]
    return sum(steps.tolist()) * one.instrument.price_tick * one.instrument.lot_step


def _plain(value: Any, step: Decimal) -> Any:
    if isinstance(value, Decimal):
        return rounded(value, step)
    return _rounded(value) if isinstance(value, float) else value


def _rounded(value: float) -> float:
    # Adding zero turns -0.0 into 0.0.
    return round(value, FLOAT_PLACES) + 0.0
