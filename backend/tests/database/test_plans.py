"""The written-out statements use the indexes that are made for them, with many rows that are done and few that wait."""

import pytest
from django.db import connection
from django.utils import timezone

from database import rows
from database.claim import claim_statement
from market.services import add_symbol
from tests.trading.markets import running_account
from trading.models import Account, AgentType, Decision, Follow, Message, Position, TradingSettings

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="plans of PostgreSQL"),
]
DONE, WAITING = 3000, 5


def plan(sql: str, parameters: list[object]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}", parameters)
        return "\n".join(line for (line,) in cursor.fetchall())


@pytest.fixture
def account() -> Account:
    """An account among many messages, all of which but a few are processed."""
    account, symbol, now = running_account(), add_symbol("BTCUSDT"), timezone.now()
    messages = [
        Message(key=f"{number}", type="MARKET_SNAPSHOT", sender=AgentType.MARKET_MONITOR, payload={}, symbol=symbol,
                interval="1h", recipient=AgentType.DECISION_MAKER, processed_at=None if number < WAITING else now)
        for number in range(DONE)
    ]  # fmt: skip
    Message.objects.bulk_create(messages)
    snapshot = Message.objects.latest("pk")
    for number in range(3):
        other = running_account(f"user{number}@example.com")
        Position.objects.create(
            account=other, symbol=symbol, quantity=1, cost=1, entry_price=1, mark=1, high=1, opened_at=now
        )
        Decision.objects.create(
            account=other, symbol=symbol, interval="1h", close_time=now, snapshot=snapshot, action="HOLD",
            confidence=0.5, risk_score=0.5, quantity=0, price=1, model_type="x", model_version="x",
        )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        # Tables of a test fit into a page: what matters is which index a larger one would use.
        cursor.execute("SET LOCAL enable_seqscan = off")
    return account


@pytest.mark.parametrize("agent", [AgentType.DECISION_MAKER, AgentType.EXECUTION])
def test_a_claim_reads_the_waiting_messages_alone(account: Account, agent: str) -> None:
    in_turn = agent == AgentType.DECISION_MAKER
    sql, parameters = claim_statement(
        agent, timezone.now(), 25, None, is_due=True, in_turn=in_turn, columns=rows.columns_of(Message)
    )
    found = plan(sql, list(parameters))
    # Both hold the waiting messages alone.
    assert "trading_message_waiting" in found or "trading_message_stream" in found
    assert "Seq Scan" not in found


@pytest.mark.parametrize(
    ("model", "condition", "index"),
    [
        (Account, rows.LOCKED_BY_KEY, "trading_account_pkey"),
        (TradingSettings, rows.SETTINGS_OF, "trading_tradingsettings_account_id_key"),
        (Position, rows.OPEN_POSITIONS_OF, "trading_position_one_open"),
        (Follow, rows.FOLLOWED_BY, "trading_follow"),
        (Decision, rows.DECISIONS, "trading_decision_pkey"),
        (Account, rows.LOCKED_CONCERNED, "trading_message_pkey"),
    ],
)
def test_a_condition_uses_its_index(account: Account, model: type, condition: str, index: str) -> None:
    keys = {name: "= ANY(%s)" for name in ("keys", "accounts", "symbols", "snapshots") if f"{{{name}}}" in condition}
    where = condition.format(**keys, lock="FOR UPDATE")
    found = plan(f"SELECT * FROM {model._meta.db_table} WHERE {where}", [[account.pk]] * where.count("%s"))
    assert index in found
    assert "Seq Scan" not in found
