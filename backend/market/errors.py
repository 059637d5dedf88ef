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
        """The reason in words that do not change while it lasts, so that logs can leave out repetitions."""
        return str(self)


class SymbolError(MarketError):
    """A text that cannot be the name of an instrument."""


class UnknownSource(MarketError):
    """A name that no source has."""


class CandleFileMissing(MarketError):
    """No file holds the requested series."""


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
    """It cannot be reached, does not answer in time, or reports that it does not work."""

    retry_helps = True


class RateLimited(SourceError):
    """It was asked too often. `retry_after` is the number of seconds to wait, if it named one."""

    retry_helps = True

    def __init__(self, source: str, problem: str, retry_after: float | None = None) -> None:
        super().__init__(source, problem)
        self.retry_after = retry_after


class RequestBudgetExceeded(SourceError):
    """We would have to wait too long to stay within the rate that the source allows."""


class UnreadableResponse(SourceError):
    """A response that cannot be parsed, such as one that was cut off."""

    retry_helps = True


class InvalidResponse(SourceError):
    """A response that can be parsed and cannot be true: another symbol, a price of zero, times that go backwards."""


class ClockSkew(SourceError):
    """Its clock and ours differ so much that fresh and stale data cannot be distinguished."""


class RegionBlocked(SourceError):
    """It does not serve the region that we ask from."""


class UnknownInstrument(SourceError):
    """It has no instrument of that name."""


class NotServed(SourceError):
    """It does not serve the requested interval, or candles that old."""


class RequestRefused(SourceError):
    """It rejects the request as wrong."""


class CircuitOpen(SourceError):
    """It has failed so often that it is not asked until `retry_at`. `cause` is the last failure."""

    def __init__(self, source: str, cause: str, retry_at: datetime) -> None:
        super().__init__(source, f"it is paused until {retry_at:%H:%M:%S} UTC, because {cause}")
        self.cause = cause
        self.retry_at = retry_at

    @property
    def lasting(self) -> str:
        return f"{self.source}: {self.cause}"


class NoSource(MarketError):
    """None of the sources of a symbol had an answer; the message names each and its reason."""

    def __init__(self, wanted: str, failures: Sequence[SourceError | CandleFileError | CandleFileMissing]) -> None:
        super().__init__(self._message(wanted, [str(failure) for failure in failures]))
        self.wanted = wanted
        self.failures = tuple(failures)
        self.retry_helps = any(failure.retry_helps or isinstance(failure, CircuitOpen) for failure in failures)

    @property
    def lasting(self) -> str:
        return self._message(self.wanted, [failure.lasting for failure in self.failures])

    @staticmethod
    def _message(wanted: str, reasons: Sequence[str]) -> str:
        return f"no source for {wanted}: {'; '.join(reasons) or 'no source serves it'}"


def reason(error: Exception) -> str:
    """The reason of an error, for logs and users."""
    return error.lasting if isinstance(error, MarketError) else str(error)


def gist(text: str) -> str:
    """A reason without its times and counts, to recognise repetitions."""
    return NUMBER.sub("#", text)
