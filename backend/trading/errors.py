"""What can go wrong, and how the API answers it. Nothing heavy is imported: every start reads this."""

from rest_framework.exceptions import APIException

from market.errors import MarketError
from web.errors import Conflict, Unavailable, answer_with

RETRY_SECONDS = 60


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


def add_answers() -> None:
    answer_with(NotNow, lambda error: Conflict(str(error), error.code))
    answer_with(MarketError, _no_market_data)
    answer_with(NoPrice, lambda error: Unavailable(str(error), "no_price", wait=RETRY_SECONDS))
    answer_with(PositionClosed, lambda error: Conflict(str(error), "position_closed"))
    answer_with(KeyReused, lambda error: Conflict(str(error), "idempotency_key_reused"))


def _no_market_data(error: MarketError) -> APIException:
    # Its own words stay inside: they name folders of the server.
    if error.retry_helps:
        return Unavailable("The source of the market data is down.", "source_down", wait=RETRY_SECONDS)
    return Conflict("No source has the market data that is needed for this.", "no_market_data")
