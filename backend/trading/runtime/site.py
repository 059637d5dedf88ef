"""The web site in threads of a process that also runs the agents."""

from collections.abc import Callable
from threading import Thread
from typing import Any

from waitress import create_server

THREADS = 4
CLOSE_SECONDS = 3


class PortInUse(Exception):
    """The port is in use, or the address is not one of this machine."""


class Site:
    """Listens once it is constructed; answers once it is started."""

    def __init__(self, application: Callable[..., Any], host: str, port: int) -> None:
        try:
            self._server = create_server(application, host=host, port=port, threads=THREADS, ident="photon")
        except OSError as error:
            raise PortInUse(f"cannot listen on {host}:{port}: {error.strerror or error}") from error

    def start(self) -> None:
        Thread(target=self._server.run, name="web", daemon=True).start()

    def close(self) -> None:
        """Accepts no new requests; open ones have CLOSE_SECONDS to end."""
        # The threads first: each signals the server when it is done, through a pipe that `close` removes.
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=CLOSE_SECONDS)
        self._server.close()
