"""Statements written by hand read and write the rows that the ORM would."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction

from market.models import Candle, Symbol
from market.statements import Columns, Inserted, fetch, update, update_alike, written_together

pytestmark = pytest.mark.django_db
SYMBOLS, CANDLES = Inserted(Symbol), Inserted(Candle)
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
