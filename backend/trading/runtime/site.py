"""The web site inside a process that does something else as well."""

from collections.abc import Callable
from threading import Thread
from typing import Any

from waitress import create_server

THREADS = 4
CLOSE_SECONDS = 3


class PortInUse(Exception):
    """Something else listens there, or the address is not of this machine."""


class Site:
    """Listens from the moment it is made; answers once it was started."""

    def __init__(self, application: Callable[..., Any], host: str, port: int) -> None:
        try:
            self._server = create_server(application, host=host, port=port, threads=THREADS, ident="photon")
        except OSError as error:
            raise PortInUse(f"cannot listen on {host}:{port}: {error.strerror or error}") from error

    def start(self) -> None:
        Thread(target=self._server.run, name="web", daemon=True).start()

    def close(self) -> None:
        """No new requests; those at work get a short time to end."""
        # First the threads that answer: each tells the server when it is done, through a pipe that `close` takes away.
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=CLOSE_SECONDS)
        self._server.close()
