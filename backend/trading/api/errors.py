"""HTTP answers for the errors of the agents, the books and the market data. `trading.api.urls` imports this module."""

from rest_framework.exceptions import APIException

from market.errors import MarketError
from trading.errors import KeyReused, NoPrice, NotNow, PositionClosed
from web.errors import Conflict, Unavailable, register_error

RETRY_SECONDS = 60


def no_market_data(error: MarketError) -> APIException:
    # Its message is not sent: it names folders of the server.
    if error.retry_helps:
        return Unavailable("The source of the market data is down.", "source_down", wait=RETRY_SECONDS)
    return Conflict("No source has the required market data.", "no_market_data")


register_error(NotNow, lambda error: Conflict(str(error), error.code))
register_error(MarketError, no_market_data)
register_error(NoPrice, lambda error: Unavailable(str(error), "no_price", wait=RETRY_SECONDS))
register_error(PositionClosed, lambda error: Conflict(str(error), "position_closed"))
register_error(KeyReused, lambda error: Conflict(str(error), "idempotency_key_reused"))
