"""Numerical libraries kept to one thread."""

from contextlib import AbstractContextManager
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """A context in which matrices and histograms take one thread.

    Threads of these libraries spin while they wait for each other: beside other work, two take several times as long as
    one. Whoever enters has already imported the libraries that are meant.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    context: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return context
