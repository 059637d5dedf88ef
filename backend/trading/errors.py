"""Exceptions of trading, and their API responses. Imported at every start: nothing heavy here."""

from rest_framework.exceptions import APIException

from market.errors import MarketError
from web.errors import Conflict, Unavailable, register_error

RETRY_SECONDS = 60


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


def register_error_responses() -> None:
    register_error(NotNow, lambda error: Conflict(str(error), error.code))
    register_error(MarketError, _no_market_data)
    register_error(NoPrice, lambda error: Unavailable(str(error), "no_price", wait=RETRY_SECONDS))
    register_error(PositionClosed, lambda error: Conflict(str(error), "position_closed"))
    register_error(KeyReused, lambda error: Conflict(str(error), "idempotency_key_reused"))


def _no_market_data(error: MarketError) -> APIException:
    # Its message is not sent: it names folders of the server.
    if error.retry_helps:
        return Unavailable("The source of the market data is down.", "source_down", wait=RETRY_SECONDS)
    return Conflict("No source has the required market data.", "no_market_data")
