"""How a loop is asked to end."""

import os
import select
import signal
from threading import Timer

PATIENCE_SECONDS = 8.0


class Stop:
    """Set by SIGTERM, by SIGINT or by hand; a wait for it can be interrupted at any time.

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
        """Whether it was set, at the latest after that time."""
        if not self._set:
            select.select([self._reader], [], [], max(seconds, 0.0))
        return self._set

    def on_signals(self) -> None:
        """Ends the process by force when it has not ended by itself: what was not committed is rolled back."""
        signal.signal(signal.SIGTERM, self._asked)
        signal.signal(signal.SIGINT, self._asked)

    def _asked(self, *_: object) -> None:
        if not self._set:
            self.set()
            force = Timer(PATIENCE_SECONDS, os._exit, [1])
            force.daemon = True
            force.start()
