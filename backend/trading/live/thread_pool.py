"""A pool of daemon threads for network requests that may take seconds."""

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
class JobResult(Generic[Key]):
    """A finished job; `error` is the exception that it raised."""

    key: Key
    error: Exception | None


class ThreadPool(Generic[Key]):
    """Runs at most one job per key at a time. With 0 workers, `submit` runs the job in the calling thread.

    Unlike those of concurrent.futures, its threads are daemons: a request that hangs must not delay the end of the
    process. Nothing is lost by that, because jobs write in transactions.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._jobs: queue.SimpleQueue[tuple[Key, Job]] = queue.SimpleQueue()
        self._busy: set[Key] = set()
        self._results: list[JobResult[Key]] = []
        self._changed = Condition()
        self._threads: list[Thread] = []

    def submit(self, key: Key, job: Job) -> bool:
        """False when a job of that key is running or queued."""
        with self._changed:
            if key in self._busy:
                return False
            self._busy.add(key)
        if not self.workers:
            self._run(key, job)
            return True
        if len(self._threads) < self.workers:
            thread = Thread(target=self._work, name="thread pool", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((key, job))
        return True

    def is_busy(self, key: Key) -> bool:
        return key in self._busy

    def results(self) -> list[JobResult[Key]]:
        """The jobs that have finished since the last call."""
        with self._changed:
            results, self._results = self._results, []
        return results

    def wait(self, keys: Collection[Key], seconds: float) -> bool:
        """Blocks until no job of these keys is left; False after `seconds`."""
        end = monotonic() + seconds
        with self._changed:
            while self._busy.intersection(keys):
                if (left := end - monotonic()) <= 0 or not self._changed.wait(left):
                    return False
        return True

    def _work(self) -> None:
        try:
            while True:
                key, job = self._jobs.get()
                close_old_connections()
                self._run(key, job)
        finally:
            # Connections belong to their thread.
            connection.close()

    def _run(self, key: Key, job: Job) -> None:
        error: Exception | None = None
        try:
            job()
        except Exception as raised:
            # The outermost edge of the thread: the error is part of the result.
            error = raised
        with self._changed:
            self._busy.discard(key)
            self._results.append(JobResult(key, error))
            self._changed.notify_all()
