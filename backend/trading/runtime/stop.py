"""The stop signal of a loop."""

import os
import select
import signal
from threading import Timer

PATIENCE_SECONDS = 8.0


class Stop:
    """Set by SIGTERM, by SIGINT or by `set`; any of them ends a wait at once.

    A pipe and not a threading.Event: the lock inside an Event may be held by the very code that a signal interrupts.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        if not self._set:
            self._set = True
            os.write(self._writer, b".")

    def wait(self, seconds: float) -> bool:
        """Whether it is set, after at most that time."""
        if not self._set:
            select.select([self._reader], [], [], max(seconds, 0.0))
        return self._set

    def on_signals(self) -> None:
        """A process that has not ended after PATIENCE_SECONDS is ended by force; open transactions are rolled back."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        if not self._set:
            self.set()
            force = Timer(PATIENCE_SECONDS, os._exit, [1])
            force.daemon = True
            force.start()
