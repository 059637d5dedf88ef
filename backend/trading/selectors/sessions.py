"""The order in which an account's messages were handled, as steps that `engine.history.simulate` plays again."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import numpy.typing as npt

from engine.candles import interval_length
from engine.history import CLOSE, DECIDE, KINDS, OPEN
from trading.models import Account, SessionRecord

NUMBERS = {"close": CLOSE, "decide": DECIDE, "open": OPEN}


def recorded_steps(account: Account, rows: Mapping[tuple[str, int], int]) -> npt.NDArray[np.int64]:
    """The steps of all session records, in order.

    `rows` gives the row of each candle by its symbol and its open time in seconds since 1970. A decision is filled at
    the open of the next row. Raises ValueError for an order by hand, which history cannot play, and for a candle that
    is not among the rows.
    """
    steps = []
    for record in SessionRecord.objects.filter(account=account).order_by("number").iterator():
        for kind, symbol, interval, closed in record.steps:
            if kind not in NUMBERS:
                raise ValueError(f"record {record.number} holds an order by hand in {symbol}")
            opened = int((datetime.fromisoformat(closed) - interval_length(interval)).timestamp())
            if (symbol, opened) not in rows:
                raise ValueError(f"record {record.number} holds a candle of {symbol} that is not given: {closed}")
            number = NUMBERS[kind]
            steps.append((rows[symbol, opened] + (number == OPEN)) * KINDS + number)
    return np.array(steps, dtype=np.int64)
