"""What a maintainer usually changes works at once in the rows that the agents write, or fails loudly."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, models, transaction
from django.utils import timezone

from tests.engine.accounts import moody_probabilities
from tests.markets import random_candles
from tests.trading.markets import PlayedSource, market, pipeline, running_account, told
from trading.agents import decision_maker
from trading.books.session import AccountSession, locked_sessions, save
from trading.models import Account, CashEntry, Decision, EquityPoint, Message, Order, Position, Trade

pytestmark = pytest.mark.django_db(transaction=True)

HISTORY, PLAYED = 60, 12


def _forget(model: type[models.Model]) -> None:
    """What Django has cached of the fields of a model."""
    model._meta._expire_cache()
    model._meta.__dict__.pop("db_returning_fields", None)


@contextmanager
def column(model: type[models.Model], name: str, field: Any) -> Iterator[None]:
    """The model and its table with one field more."""
    field.contribute_to_class(model, name)
    _forget(model)
    with connection.schema_editor() as editor:
        editor.add_field(model, field)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.remove_field(model, field)
        model._meta.local_fields.remove(field)
        delattr(model, name)
        _forget(model)


@contextmanager
def renamed(model: type[models.Model], name: str, new: str) -> Iterator[None]:
    """The column of a field under another name."""
    field: Any = model._meta.get_field(name)
    before = field.column
    _rename(model, field, new)
    try:
        yield
    finally:
        _rename(model, field, before)


def _rename(model: type[models.Model], field: Any, new: str) -> None:
    with connection.cursor() as cursor:
        table, old = connection.ops.quote_name(model._meta.db_table), connection.ops.quote_name(field.column)
        cursor.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {connection.ops.quote_name(new)}")
    field.db_column = field.column = new
    # Expressions over the column are kept with the field.
    field.__dict__.pop("cached_col", None)
    _forget(model)


def play(**settings: Any) -> Account:
    """A market through all three agents, with entries, protective exits and exits on a signal."""
    candles = random_candles(HISTORY + PLAYED, seed=4)
    account = running_account(confidence_threshold=Decimal("0.3"), stop_loss=Decimal("0.01"), **settings)
    answers = told(candles.index[HISTORY:], moody_probabilities(PLAYED, seed=11))
    agents = pipeline(PlayedSource(candles, HISTORY), answers)
    while agents.process_next(market()):
        pass
    assert not Message.objects.filter(attempts__gt=0).exists()
    assert Trade.objects.filter(action="SELL").exists()
    return account


@pytest.mark.parametrize("model", [Decision, Order, Trade, Position, CashEntry, EquityPoint, Message])
def test_a_column_with_a_default_is_written(model: type[models.Model]) -> None:
    with column(model, "grade", models.CharField(max_length=5, default="usual")):
        play()
        assert set(model._default_manager.values_list("grade", flat=True)) == {"usual"}


@pytest.mark.parametrize("model", [Decision, Order, Trade, Message])
def test_a_time_of_creation_is_written(model: type[models.Model]) -> None:
    before = timezone.now()
    with column(model, "made_at", models.DateTimeField(auto_now_add=True, null=True)):
        play()
        times = list(model._default_manager.values_list("made_at", flat=True))
        assert all(before <= time <= timezone.now() for time in times)


@pytest.mark.parametrize("model", [Decision, Order, Trade, Position, Message])
def test_a_default_of_the_database_is_written(model: type[models.Model]) -> None:
    with column(model, "weight", models.IntegerField(db_default=7)):
        play()
        assert set(model._default_manager.values_list("weight", flat=True)) == {7}


@pytest.mark.parametrize(
    ("model", "name"), [(Account, "cash"), (Position, "mark"), (Decision, "status"), (Message, "payload")]
)
def test_a_renamed_column_is_read_and_written(model: type[models.Model], name: str) -> None:
    with renamed(model, name, "another_name"):
        account = play()
        account.refresh_from_db()
        assert account.cash != account.initial_balance


def test_a_renamed_column_of_a_written_out_statement_fails_loudly() -> None:
    with renamed(Message, "available_at", "another_name"), pytest.raises((ProgrammingError, OperationalError)):
        play()


def test_a_new_counter_of_an_account_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    record = AccountSession._record_fill

    def counting(session: AccountSession, *arguments: Any) -> Trade:
        session.account.__dict__["fills"] += 1
        return record(session, *arguments)

    monkeypatch.setattr(AccountSession, "_record_fill", counting)
    with column(Account, "fills", models.PositiveIntegerField(default=0)):
        account = play()
        stored = Account.objects.filter(pk=account.pk).values_list("fills", flat=True).get()
        assert stored == Trade.objects.filter(account=account).count() > 2


def test_a_row_that_is_updated_twice_keeps_the_second_value() -> None:
    account = play()
    with transaction.atomic():
        (session,) = locked_sessions([account.pk], [])
        for cash in (session.books.cash + 100, session.books.cash + 250):
            session.books = session.books._replace(cash=cash)
            save([session])
    stored = Account.objects.get(pk=account.pk)
    assert session.money(session.books.cash) == stored.cash


def test_a_row_is_read_as_it_was_written_in_the_same_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def reading(sessions: list[AccountSession]) -> None:
        save(sessions)
        for session in sessions:
            seen.append(Account.objects.get(pk=session.account.pk).cash == session.money(session.books.cash))
            held = Position.objects.filter(account=session.account, closed_at=None)
            assert {row.symbol.symbol for row in held} == set(session.positions)

    monkeypatch.setattr(decision_maker, "save", reading)
    play()
    assert seen == [True] * PLAYED
