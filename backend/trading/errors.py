"""Errors that the API answers with a status of their own (`trading.api.errors`)."""


class NotNow(Exception):
    """The agents cannot serve the request now; `code` names the reason."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NoPrice(Exception):
    """There is no current price; a retry may help."""


class PositionClosed(Exception):
    """The position is closed already."""


class KeyReused(Exception):
    """The idempotency key belongs to a different request."""
