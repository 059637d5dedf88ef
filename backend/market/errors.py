"""What can go wrong with market data, as a small tree that knows whether a retry helps."""

from pathlib import Path
from typing import ClassVar


class MarketError(Exception):
    """Market data could not be had."""

    retry_helps: ClassVar[bool] = False


class SymbolError(MarketError):
    """A text that cannot be the name of an instrument."""


class CandleFileMissing(MarketError):
    """No file holds the series that was asked for."""


class CandleFileError(MarketError):
    """A file whose candles must not be traded on. `line` counts from 1, the header; None means the whole file."""

    def __init__(self, path: Path | str, problem: str, line: int | None = None) -> None:
        where = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{where}: {problem}")
        self.path = Path(path)
        self.problem = problem
        self.line = line
