"""The Message table as transport: once, in order, everything or nothing, and a bad message alone in its trouble."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from market.models import Symbol
from market.services import add_symbol
from tests.trading.markets import running_account
from trading.messages.adapter import MOST_ATTEMPTS, DjangoAgentAdapter, Handled
from trading.models import Account, AgentType, Message

pytestmark = pytest.mark.django_db(transaction=True)

MAKER, EXECUTION = AgentType.DECISION_MAKER, AgentType.EXECUTION


@pytest.fixture
def symbol() -> Symbol:
    return add_symbol("BTCUSDT")


def snapshot(symbol: Symbol, number: int, interval: str = "1h") -> Message:
    return DjangoAgentAdapter(AgentType.MARKET_MONITOR).send_message(
        MAKER,
        Message.Type.MARKET_SNAPSHOT,
        {"number": number},
        key=f"{symbol}:{interval}:{number}",
        symbol=symbol,
        interval=interval,
    )


def decision(cause: Message, account: Account) -> Message:
    adapter = DjangoAgentAdapter(MAKER)
    return adapter.message(
        EXECUTION,
        Message.Type.TRADE_DECISION,
        {},
        key=f"decision:{cause.pk}:{account.pk}",
        symbol=cause.symbol,
        interval=cause.interval,
        account=account,
        caused_by=cause,
    )


def numbers_of(claimed: list[list[int]]):
    """A handler that notes what it was given."""

    def handle(messages) -> Handled:
        claimed.append([message.payload["number"] for message in messages])
        return Handled()

    return handle


def test_a_message_under_the_same_key_is_written_once(symbol: Symbol) -> None:
    assert snapshot(symbol, 1).pk == snapshot(symbol, 1).pk
    assert Message.objects.count() == 1


def test_the_next_candle_waits_until_the_one_before_is_done(symbol: Symbol) -> None:
    snapshot(symbol, 1), snapshot(symbol, 2)
    claimed: list[list[int]] = []
    adapter = DjangoAgentAdapter(MAKER)
    while adapter.work(numbers_of(claimed)):
        pass
    assert claimed == [[1], [2]]


def test_the_next_candle_waits_for_the_decisions_on_the_one_before(symbol: Symbol) -> None:
    account = running_account()
    first = snapshot(symbol, 1)
    snapshot(symbol, 2)
    maker, execution = DjangoAgentAdapter(MAKER), DjangoAgentAdapter(EXECUTION)
    assert maker.work(lambda _: Handled(outgoing=[decision(first, account)])) == 1
    assert maker.work(lambda _: Handled()) == 0
    assert execution.work(lambda _: Handled()) == 1
    assert maker.work(lambda _: Handled()) == 1


def test_other_markets_do_not_wait(symbol: Symbol) -> None:
    for market in (symbol, add_symbol("ETHUSDT")):
        snapshot(market, 1), snapshot(market, 2)
    snapshot(symbol, 1, interval="1d")
    claimed: list[list[int]] = []
    DjangoAgentAdapter(MAKER).work(numbers_of(claimed))
    assert claimed == [[1, 1, 1]]


def test_what_a_failed_handler_did_is_taken_back(symbol: Symbol) -> None:
    account = running_account()
    first = snapshot(symbol, 1)

    def handle(messages) -> Handled:
        Account.objects.filter(pk=account.pk).update(cash=1)
        decision(first, account).save()
        raise ValueError("half way")

    DjangoAgentAdapter(MAKER).work(handle)
    account.refresh_from_db()
    first.refresh_from_db()
    assert account.cash == account.initial_balance
    assert list(Message.objects.all()) == [first]
    assert (first.processed_at, first.attempts, first.error) == (None, 1, "ValueError: half way")


def test_a_failing_message_is_parked_with_its_error_and_holds_up_nobody(symbol: Symbol) -> None:
    bad, good = snapshot(symbol, 1), snapshot(symbol, 2)

    def handle(messages) -> Handled:
        if any(message.pk == bad.pk for message in messages):
            raise ValueError("unreadable")
        return Handled()

    adapter = DjangoAgentAdapter(MAKER)
    for _ in range(MOST_ATTEMPTS):
        Message.objects.update(available_at=timezone.now())
        adapter.work(handle)
    adapter.work(handle)
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.processed_at, bad.attempts, bad.error) == (None, MOST_ATTEMPTS, "ValueError: unreadable")
    assert bad.parked_at is not None
    assert good.processed_at is not None


def test_the_good_messages_of_a_batch_are_done_when_one_of_them_fails(symbol: Symbol) -> None:
    rows = [snapshot(add_symbol(name), number) for number, name in enumerate(["BTCUSDT", "ETHUSDT", "GOOG"])]

    def handle(messages) -> Handled:
        if any(message.payload["number"] == 1 for message in messages):
            raise ValueError("unreadable")
        return Handled()

    DjangoAgentAdapter(MAKER).work(handle)
    for row in rows:
        row.refresh_from_db()
    assert [row.processed_at is not None for row in rows] == [True, False, True]


def test_an_outage_of_the_database_is_not_held_against_the_message(symbol: Symbol) -> None:
    row = snapshot(symbol, 1)

    def handle(messages) -> Handled:
        raise OperationalError("gone")

    with pytest.raises(OperationalError):
        DjangoAgentAdapter(MAKER).work(handle)
    row.refresh_from_db()
    assert (row.attempts, row.processed_at) == (0, None)


def test_a_deferred_message_comes_back_later(symbol: Symbol) -> None:
    snapshot(symbol, 1)
    adapter = DjangoAgentAdapter(MAKER)
    adapter.work(lambda messages: Handled(deferred=list(messages)))
    assert adapter.work(lambda _: Handled()) == 0
    Message.objects.update(available_at=timezone.now() - timedelta(seconds=1))
    assert adapter.work(lambda _: Handled()) == 1


def test_the_recipient_is_woken_after_the_commit_and_not_after_a_rollback(symbol: Symbol) -> None:
    account = running_account()
    first, woken = snapshot(symbol, 1), []
    adapter = DjangoAgentAdapter(MAKER, wake=woken.append)

    def fail(messages) -> Handled:
        adapter.publish([decision(first, account)])
        assert woken == []
        raise ValueError

    adapter.work(fail)
    assert woken == []
    Message.objects.update(available_at=timezone.now())
    adapter.work(lambda _: Handled(outgoing=[decision(first, account)]))
    assert woken == [EXECUTION]
