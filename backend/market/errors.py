"""What can go wrong with market data, as a small tree that knows whether a retry helps."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

NUMBER = re.compile(r"[0-9]+")


class MarketError(Exception):
    """Market data could not be had."""

    retry_helps: bool = False

    @property
    def lasting(self) -> str:
        """What is wrong, in the same words as long as it is."""
        return str(self)


class SymbolError(MarketError):
    """A text that cannot be the name of an instrument."""


class UnknownSource(MarketError):
    """A name that is no source's."""


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


class SourceError(MarketError):
    """A source has no answer that may be traded on. `source` is its name."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")
        self.source = source
        self.problem = problem


class SourceDown(SourceError):
    """It cannot be reached, does not answer in time, or says itself that it does not work."""

    retry_helps = True


class RateLimited(SourceError):
    """It was asked too often. `retry_after` is the number of seconds that it wants to be left alone, if it said so."""

    retry_helps = True

    def __init__(self, source: str, problem: str, retry_after: float | None = None) -> None:
        super().__init__(source, problem)
        self.retry_after = retry_after


class BudgetSpent(SourceError):
    """We would have to wait too long to stay within the rate that the source allows."""


class GarbledAnswer(SourceError):
    """An answer that cannot be read at all, as when it was cut off on its way."""

    retry_helps = True


class BadAnswer(SourceError):
    """An answer that can be read and must not be believed: another symbol, a price of zero, time going backwards."""


class ClockSkew(SourceError):
    """Its clock and ours differ so much that nobody could tell fresh data from stale."""


class RegionBlocked(SourceError):
    """It does not serve the place that we ask from."""


class UnknownInstrument(SourceError):
    """It has no instrument of that name."""


class NotServed(SourceError):
    """It does not keep what was asked for: the interval, or candles of so long ago."""


class RequestRefused(SourceError):
    """It calls the request itself wrong."""


class CircuitOpen(SourceError):
    """It has failed so often that it is left alone until `retry_at`. `cause` is what it failed with."""

    def __init__(self, source: str, cause: str, retry_at: datetime) -> None:
        super().__init__(source, f"it is left alone until {retry_at:%H:%M:%S} UTC, because {cause}")
        self.cause = cause
        self.retry_at = retry_at

    @property
    def lasting(self) -> str:
        return f"{self.source}: {self.cause}"


class NoSource(MarketError):
    """None of the sources of a symbol had an answer; the message names each and why."""

    def __init__(self, wanted: str, failures: Sequence[SourceError | CandleFileError | CandleFileMissing]) -> None:
        super().__init__(self._said(wanted, [str(failure) for failure in failures]))
        self.wanted = wanted
        self.failures = tuple(failures)
        self.retry_helps = any(failure.retry_helps or isinstance(failure, CircuitOpen) for failure in failures)

    @property
    def lasting(self) -> str:
        return self._said(self.wanted, [failure.lasting for failure in self.failures])

    @staticmethod
    def _said(wanted: str, reasons: Sequence[str]) -> str:
        return f"no source for {wanted}: {'; '.join(reasons) or 'no source serves it'}"


def reason(error: Exception) -> str:
    """What an error says, for people."""
    return error.lasting if isinstance(error, MarketError) else str(error)


def gist(text: str) -> str:
    """A reason without the times and counts in it, which make each repetition look like another one."""
    return NUMBER.sub("#", text)
