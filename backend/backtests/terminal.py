"""A run on a terminal, or in a file that a terminal's output was sent to."""

from decimal import Decimal
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtests.document import Document
from backtests.wording import MODELS, assumptions, figures, money, percent, period, refusal, share

PIPED_WIDTH = 110
LAST_TRADES = 10


def show(document: Document, notes: list[str], stream: TextIO) -> None:
    result, found = document.result, document.summary
    # Rich takes 80 columns where there is no terminal, and would break words.
    console = Console(file=stream, width=None if stream.isatty() else PIPED_WIDTH, highlight=False)
    title = f"{found['symbol']} {found['interval']}, {MODELS[result.options.model]}, seed {found['seed']}"
    console.print(Text(title, style="bold"))
    console.print(Text(f"{period(result)}, {found['candles']:,} candles"))
    console.print(_results(found))
    console.print(_decisions(found))
    if document.trades:
        console.print(_trades(document.trades))
    for sentence in assumptions(result):
        console.print(Text(f"- {sentence}"))
    for note in notes:
        console.print(Text(f"Note: {note}", style="yellow"))


def _results(found: dict[str, Any]) -> Table:
    table = Table("Result", "", box=SIMPLE_HEAD)
    table.columns[1].justify = "right"
    table.add_row("Initial balance", money(found["initial_balance"]))
    table.add_row("Final equity", money(found["final_equity"]))
    table.add_row("Free cash", money(found["free_cash"]))
    for figure in figures(found["metrics"]):
        table.add_row(figure.label, figure.text)
        if figure.name == "return_percent":
            table.add_row("Buy-and-hold return", percent(found["buy_and_hold_return_percent"]))
    table.add_row("Out-of-sample accuracy", share(found["accuracy"]))
    table.add_row("Accuracy of always the majority class", share(found["baseline_accuracy"]))
    return table


def _decisions(found: dict[str, Any]) -> Table:
    table = Table("Decisions", "", box=SIMPLE_HEAD)
    table.columns[1].justify = "right"
    for action, count in found["decisions"].items():
        table.add_row(action, f"{count:,}")
    table.add_section()
    for code, count in found["refusals"].items():
        table.add_row(f"no trade: {code} ({refusal(code)})", f"{count:,}")
    return table


def _trades(trades: list[dict[str, Any]]) -> Table:
    shown = trades[-LAST_TRADES:]
    title = "Trades" if len(shown) == len(trades) else f"The last {len(shown)} of {len(trades):,} trades"
    table = Table(*shown[0], box=SIMPLE_HEAD, title=title, title_justify="left")
    for name, column in zip(shown[0], table.columns, strict=True):
        column.justify = "left" if name in ("time", "action", "reason") else "right"
    for trade in shown:
        table.add_row(*(_cell(value) for value in trade.values()))
    return table


def _cell(value: Decimal | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:f}"
