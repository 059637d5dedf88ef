"""Claiming messages: a conditional UPDATE whose returned rows are believed, which is right on both databases."""

from collections.abc import Sequence
from typing import Any

from django.db import connection

# The candidates are a step of their own: inlined, PostgreSQL could search for them, and lock them, more than once. With
# COALESCE it does not search for each of them in a partial index of what waits, which it takes for empty.
CLAIM = """
WITH free AS MATERIALIZED (
    SELECT id FROM trading_message AS waiting
    WHERE processed_at IS NULL AND parked_at IS NULL AND {waiting} ORDER BY id LIMIT %s {skip}
)
UPDATE trading_message SET processed_at = %s
WHERE id IN (SELECT id FROM free) AND COALESCE(processed_at, parked_at) IS NULL RETURNING {columns}
"""

# A candle is decided on only when the candle before it, and all that was decided on it, is done.
IN_TURN = """NOT EXISTS (
    SELECT 1 FROM trading_message AS ahead
    WHERE ahead.processed_at IS NULL AND ahead.parked_at IS NULL
    AND ahead.symbol_id = waiting.symbol_id AND ahead.interval = waiting.interval
    AND (ahead.id < waiting.id OR ahead.type = 'TRADE_DECISION')
)"""


def claim_statement(
    recipient: str, now: Any, limit: int, only: int | None, is_due: bool, in_turn: bool, columns: str
) -> tuple[str, Sequence[Any]]:
    """SQL and parameters that claim up to `limit` messages of an agent, or `only` the one of that key.

    `is_due` leaves out messages that are to be tried later, `in_turn` those whose market has others ahead of them.
    """
    waiting, parameters = ["recipient = %s"], list[Any]([recipient])
    if is_due:
        waiting.append("available_at <= %s")
        parameters.append(connection.ops.adapt_datetimefield_value(now))
    if in_turn:
        waiting.append(IN_TURN)
    if only is not None:
        waiting.append("id = %s")
        parameters.append(only)
    # SKIP LOCKED only spares workers on PostgreSQL from waiting for each other.
    skip = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    sql = CLAIM.format(waiting=" AND ".join(waiting), skip=skip, columns=columns)
    return sql, [*parameters, limit, connection.ops.adapt_datetimefield_value(now)]
