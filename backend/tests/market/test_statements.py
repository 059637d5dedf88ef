"""Statements written by hand read and write the rows that the ORM would."""

from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from market.models import Candle, Symbol
from market.statements import Columns, Inserted, WithKey, fetch, update, update_alike, written_together
from trading.models import Message

pytestmark = pytest.mark.django_db
SYMBOLS, CANDLES, MESSAGES = Inserted(Symbol), Inserted(Candle), Inserted(Message)
TIME = datetime(2026, 1, 5, 1, 2, 3, 456789, tzinfo=UTC)


def symbol(name: str = "BTCUSDT") -> Symbol:
    return Symbol(symbol=name, kind="crypto", created_at=TIME, updated_at=TIME)


def candle(of: Symbol, **columns: object) -> Candle:
    prices = dict.fromkeys(("open", "high", "low", "close"), 0.1) | {"volume": 1e-9}
    return Candle(symbol=of, interval="1h", open_time=TIME, source="test", **prices | columns)


def insert_together(*symbols: Symbol) -> None:
    with transaction.atomic(), written_together():
        for row in symbols:
            SYMBOLS.insert([row])


def test_a_row_that_refers_to_one_before_it_is_written_with_it() -> None:
    first = symbol()
    with transaction.atomic(), written_together():
        SYMBOLS.insert([first])
        CANDLES.insert([candle(first)])
        # Where there is a way to the database, nothing has gone it yet.
        kept = connection.vendor == "postgresql"
        assert Symbol.objects.exists() is not kept
    assert Candle.objects.get().symbol.symbol == "BTCUSDT"


@pytest.mark.parametrize("together", [True, False])
def test_a_json_object_gets_the_key_of_a_row_before_it(together: bool) -> None:
    first = symbol()
    about = Message(key="k", symbol=symbol("ETHUSDT"), payload=WithKey({"price": 0.1}, "symbol_id", first))
    with transaction.atomic(), written_together() if together else nullcontext():
        SYMBOLS.insert([about.symbol])
        SYMBOLS.insert([first])
        MESSAGES.insert([about])
    stored = Symbol.objects.get(symbol="BTCUSDT")
    assert Message.objects.get().payload == {"price": 0.1, "symbol_id": stored.pk}


@pytest.mark.parametrize("count", [1, 5, 343])
def test_each_of_many_rows_is_told_its_key(count: int) -> None:
    rows = [symbol(f"A{number}USDT") for number in range(count)]
    assert SYMBOLS.insert_with_keys(rows) == count
    assert [row.pk for row in rows] == list(Symbol.objects.order_by("pk").values_list("pk", flat=True))
    assert {row.symbol: row.pk for row in rows} == dict(Symbol.objects.values_list("symbol", "pk"))


def test_a_key_that_nobody_told_is_an_error() -> None:
    about = Message(key="k", symbol=symbol("ETHUSDT"), payload=WithKey({}, "symbol_id", symbol()))
    SYMBOLS.insert([about.symbol])
    with pytest.raises(ValueError, match="has not been told its key"):
        MESSAGES.insert([about])


def test_a_number_that_is_none_is_refused() -> None:
    # PostgreSQL's numeric has a NaN, which is above zero there.
    with pytest.raises(ValidationError):
        SYMBOLS.insert([Symbol(symbol="BTCUSDT", kind="crypto", price_tick=Decimal("NaN"))])


def test_a_question_sees_what_was_written_before_it() -> None:
    with transaction.atomic(), written_together():
        SYMBOLS.insert([symbol()])
        SYMBOLS.insert([symbol("ETHUSDT")])
        assert fetch("SELECT count(*) FROM market_symbol WHERE created_at = %s", [TIME]) == [(2,)]


def test_an_error_is_the_one_of_django_and_leaves_nothing() -> None:
    with pytest.raises(IntegrityError):
        insert_together(symbol("ETHUSDT"), symbol("lower"))
    assert not Symbol.objects.exists()


def test_rows_come_back_as_the_orm_reads_them() -> None:
    SYMBOLS.insert([first := symbol()])
    CANDLES.insert([candle(first)])
    columns = Columns(Candle)
    (values,) = fetch(f"SELECT {columns.of('market_candle')} FROM market_candle", [])
    names = [field.attname for field in Candle._meta.concrete_fields]
    read, known = columns.row(values), Candle.objects.get()
    assert [getattr(read, name) for name in names] == [getattr(known, name) for name in names]


@pytest.mark.parametrize("write", [update, update_alike])
@pytest.mark.parametrize("count", [1, 3])
def test_only_the_named_columns_are_changed(write, count: int) -> None:
    rows = [symbol(f"A{number}USDT") for number in range(count)]
    SYMBOLS.insert(rows)
    for row in rows:
        row.name, row.source = "changed", "yahoo"
    write(rows, "name")
    assert set(Symbol.objects.values_list("name", "source")) == {("changed", "")}
