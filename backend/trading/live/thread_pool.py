"""A few threads for what may take seconds: asking sources over the network, beside the loop of the agents."""

import queue
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

from django.db import close_old_connections, connection

Key = TypeVar("Key", bound=Hashable)
Job = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Key]):
    """A job that is done; `error` is what it raised."""

    key: Key
    error: Exception | None


class Crew(Generic[Key]):
    """Works on each key once at a time. Without members, a job is done at once by whoever hands it in.

    The threads are daemons: a request that hangs must not hold up the end of the process. Nothing is lost by that,
    because what a job writes is written in transactions.
    """

    def __init__(self, members: int) -> None:
        self.members = members
        self._jobs: queue.SimpleQueue[tuple[Key, Job]] = queue.SimpleQueue()
        self._at_work: set[Key] = set()
        self._done: list[Outcome[Key]] = []
        self._changed = Condition()
        self._threads: list[Thread] = []

    def submit(self, key: Key, job: Job) -> bool:
        """False when that key is at work already."""
        with self._changed:
            if key in self._at_work:
                return False
            self._at_work.add(key)
        if not self.members:
            self._do(key, job)
            return True
        if len(self._threads) < self.members:
            thread = Thread(target=self._work, name="crew", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((key, job))
        return True

    def is_busy(self, key: Key) -> bool:
        return key in self._at_work

    def outcomes(self) -> list[Outcome[Key]]:
        """What was done since this was asked last."""
        with self._changed:
            done, self._done = self._done, []
        return done

    def wait(self, keys: Collection[Key], seconds: float) -> bool:
        """Until none of these keys is at work; False when that takes too long."""
        end = monotonic() + seconds
        with self._changed:
            while self._at_work.intersection(keys):
                if (left := end - monotonic()) <= 0 or not self._changed.wait(left):
                    return False
        return True

    def _work(self) -> None:
        try:
            while True:
                key, job = self._jobs.get()
                close_old_connections()
                self._do(key, job)
        finally:
            # Connections belong to their thread.
            connection.close()

    def _do(self, key: Key, job: Job) -> None:
        error: Exception | None = None
        try:
            job()
        except Exception as raised:
            # The outermost edge of the thread: whoever asks for the outcomes is told.
            error = raised
        with self._changed:
            self._at_work.discard(key)
            self._done.append(Outcome(key, error))
            self._changed.notify_all()
