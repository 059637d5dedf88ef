"""A run on a terminal, or in a file that a terminal's output was sent to."""

from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtests.document import Document
from backtests.runner import Result
from backtests.trades import TRADE_COLUMNS, trade_columns
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
    if not result.is_alone:
        console.print(_instruments(found["instruments"]))
    if len(result.fills):
        console.print(_trades(result))
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


def _instruments(found: list[dict[str, Any]]) -> Table:
    names = ("Instrument", "Candles", "Trades", "Realised profit", "Commission", "In the market", "Buy and hold")
    table = Table(*names, box=SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for one in found:
        table.add_row(
            one["symbol"],
            f"{one['candles']:,}",
            f"{one['trades']:,}",
            money(one["realised_profit"]),
            money(one["commission"]),
            percent(one["exposure_percent"]),
            percent(one["buy_and_hold_return_percent"]),
        )
    return table


def _trades(result: Result) -> Table:
    shown, count = trade_columns(result, result.fills[-LAST_TRADES:]), len(result.fills)
    title = "Trades" if count <= LAST_TRADES else f"The last {LAST_TRADES} of {count:,} trades"
    table = Table(*TRADE_COLUMNS, box=SIMPLE_HEAD, title=title, title_justify="left")
    for name, column in zip(TRADE_COLUMNS, table.columns, strict=True):
        column.justify = "left" if name in ("time", "symbol", "action", "reason") else "right"
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table
