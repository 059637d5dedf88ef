"""A run on a terminal, or in a file that a terminal's output was sent to."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import OutputWrapper

from backtests.document import Document
from backtests.trades import TRADE_COLUMNS, trade_columns
from backtests.wording import MODELS, assumptions, figures, money, percent, period, refusal, share

LAST_TRADES = 10
LEFT = frozenset(("Result", "Decisions", "Instrument", "time", "symbol", "action", "reason"))
"""The columns of words."""


def show(document: Document, notes: list[str], stream: OutputWrapper) -> None:
    for line in lines(document, notes):
        stream.write(f"{line}\n")


def lines(document: Document, notes: list[str]) -> Iterator[str]:
    result, found = document.result, document.summary
    yield f"{found['symbol']} {found['interval']}, {MODELS[result.options.model]}, seed {found['seed']}"
    yield f"{period(result)}, {found['candles']:,} candles"
    yield from _table(("Result", ""), _results(found))
    decisions = [(action, f"{count:,}") for action, count in found["decisions"].items()]
    decisions += [(f"no trade: {code} ({refusal(code)})", f"{count:,}") for code, count in found["refusals"].items()]
    yield from _table(("Decisions", ""), decisions)
    if not result.is_alone:
        names = ("Instrument", "Candles", "Trades", "Realised profit", "Commission", "In the market", "Buy and hold")
        yield from _table(names, [_instrument(one) for one in found["instruments"]])
    if count := len(result.fills):
        shown = trade_columns(result, result.fills[-LAST_TRADES:])
        yield "Trades" if count <= LAST_TRADES else f"The last {LAST_TRADES} of {count:,} trades"
        yield from _table(TRADE_COLUMNS, list(zip(*shown.values(), strict=True)))
    yield from (f"- {sentence}" for sentence in assumptions(result))
    yield from (f"Note: {note}" for note in notes)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    yield ""
    for number, row in enumerate([names, *rows]):
        cells = [
            cell.ljust(width) if name in LEFT else cell.rjust(width)
            for name, cell, width in zip(names, row, widths, strict=True)
        ]
        yield f" {'  '.join(cells)}".rstrip()
        if number == 0:
            yield f" {'-' * (sum(widths) + 2 * len(widths) - 2)}"
    yield ""


def _results(found: dict[str, Any]) -> list[tuple[str, str]]:
    metrics = [(figure.label, figure.text) for figure in figures(found["metrics"])]
    kept = ("Buy-and-hold return", percent(found["buy_and_hold_return_percent"]))
    return [
        ("Initial balance", money(found["initial_balance"])),
        ("Final equity", money(found["final_equity"])),
        ("Free cash", money(found["free_cash"])),
        *metrics[:1],
        kept,
        *metrics[1:],
        ("Out-of-sample accuracy", share(found["accuracy"])),
        ("Accuracy of always the majority class", share(found["baseline_accuracy"])),
    ]


def _instrument(found: dict[str, Any]) -> tuple[str, ...]:
    return (
        found["symbol"],
        f"{found['candles']:,}",
        f"{found['trades']:,}",
        money(found["realised_profit"]),
        money(found["commission"]),
        percent(found["exposure_percent"]),
        percent(found["buy_and_hold_return_percent"]),
    )
