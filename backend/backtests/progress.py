"""How far a run is, for people at a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from backtests.runner import Progress


@contextmanager
def progress_bar(stream: TextIO) -> Iterator[Progress | None]:
    """The callback for progress, or None where the stream is no terminal."""
    if not stream.isatty():
        yield None
        return
    # A tenth of a second that no script should pay for.
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("Training and testing", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
