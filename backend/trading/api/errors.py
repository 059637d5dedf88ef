"""HTTP answers for the errors of the agents, the books and the market data. `trading.api.urls` imports this module."""

from rest_framework.exceptions import APIException

from market.errors import MarketError
from trading.errors import KeyReused, NoPrice, NotNow, PositionClosed
from web.errors import Conflict, Unavailable, answer_with

RETRY_SECONDS = 60


def no_market_data(error: MarketError) -> APIException:
    # The error's own text names folders of the server and is not shown.
    if error.retry_helps:
        return Unavailable("The source of the market data is down.", "source_down", wait=RETRY_SECONDS)
    return Conflict("No source has the market data that is needed for this.", "no_market_data")


answer_with(NotNow, lambda error: Conflict(str(error), error.code))
answer_with(MarketError, no_market_data)
answer_with(NoPrice, lambda error: Unavailable(str(error), "no_price", wait=RETRY_SECONDS))
answer_with(PositionClosed, lambda error: Conflict(str(error), "position_closed"))
answer_with(KeyReused, lambda error: Conflict(str(error), "idempotency_key_reused"))
