"""Errors that the API answers with a status of their own (`trading.api.errors`)."""


class NotNow(Exception):
    """The agents cannot do it at the moment; `code` says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NoPrice(Exception):
    """There is no price to trade at; a retry may help."""


class PositionClosed(Exception):
    """The position was closed before, by whatever it was."""


class KeyReused(Exception):
    """The idempotency key was used for another request before."""
