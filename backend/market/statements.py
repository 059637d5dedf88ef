"""The statements that every turn of the agents runs, in SQL that both databases understand.

The ORM builds and compiles a query anew each time, a third of a millisecond, and some thirty are on the way from a
candle to a trade. Written out, PostgreSQL prepares them once for a connection. What they read and write are rows of the
models, converted by the fields of the models.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from types import NoneType
from typing import Any, Generic, TypeVar
from uuid import UUID

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import (
    BigAutoField,
    CharField,
    DateTimeField,
    DecimalField,
    Field,
    FloatField,
    ForeignKey,
    Model,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    TextField,
    UUIDField,
)
from django.db.models.options import Options

Row = TypeVar("Row", bound=Model)
Converter = Callable[[Any, Any, Any], Any]

# Values that psycopg takes as they are, so that nothing has to convert them.
PLAIN: "dict[type[Field[Any, Any]], frozenset[type]]" = {
    field: frozenset({plain, NoneType})
    for plain, fields in (
        (str, (CharField, TextField)),
        (int, (BigAutoField, PositiveIntegerField, PositiveSmallIntegerField)),
        (float, (FloatField,)),
        (Decimal, (DecimalField,)),
        (datetime, (DateTimeField,)),
        (UUID, (UUIDField,)),
    )
    for field in fields
}

# So many rows are inserted at once: in few lengths, so that PostgreSQL prepares a statement for each.
LENGTHS = (256, 64, 16, 4, 3, 2, 1)


class Columns(Generic[Row]):
    """The columns of a model in a hand-written statement, and the rows that come of their values."""

    def __init__(self, model: type[Row], *, without: Sequence[str] = ()) -> None:
        self.model = model
        self.fields: list[Field[Any, Any]] = [
            field for field in model._meta.concrete_fields if field.attname not in without
        ]
        self._names = [field.attname for field in self.fields]
        self._converters: dict[str, list[tuple[int, Converter, Any]]] = {}

    def of(self, table: str) -> str:
        """The list of columns, for a SELECT or RETURNING."""
        return ", ".join(f'{table}."{field.column}"' for field in self.fields)

    def row(self, values: Sequence[Any]) -> Row:
        read, connection = list(values), _connection()
        for place, convert, expression in self._conversions(connection):
            read[place] = convert(read[place], expression, connection)
        return self.model.from_db(DEFAULT_DB_ALIAS, self._names, read)

    def _conversions(self, connection: Any) -> list[tuple[int, Converter, Any]]:
        known = self._converters.get(connection.vendor)
        if known is None:
            known = self._converters[connection.vendor] = [
                (place, convert, expression)
                for place, field in enumerate(self.fields)
                for expression in [field.get_col(self.model._meta.db_table)]
                for convert in (*connection.ops.get_db_converters(expression), *field.get_db_converters(connection))
            ]
        return known


@dataclass(frozen=True, slots=True)
class _Column:
    """A column that is written."""

    name: str
    column: str
    save: Callable[[Any, Any], Any]
    plain: frozenset[type]
    """The types of values that psycopg takes as they are."""
    referred: Callable[[Any, Any], Any] | None
    """Gives the row that a row refers to, and its second argument where that is not known."""

    @classmethod
    def of(cls, field: Any) -> "_Column":
        is_reference = isinstance(field, ForeignKey)
        plain = PLAIN.get(type(field.target_field if is_reference else field), frozenset())
        referred = field.get_cached_value if is_reference else None
        return cls(field.attname, field.column, field.get_db_prep_save, plain, referred)

    def prepared(self, value: Any, connection: Any) -> Any:
        """As the database takes it."""
        if type(value) is WithKey and value.name not in value:
            raise ValueError(f"{value.row!r} has not been told its key")
        if type(value) not in self.plain or connection.vendor != "postgresql":
            return self.save(value, connection)
        # PostgreSQL would take a NaN, and find it above zero; the field refuses it.
        return value if type(value) is not Decimal or value.is_finite() else self.save(value, connection)

    def part(self, value: Any, row: Model, names: Mapping[int, str], connection: Any) -> tuple[str, list[Any]]:
        """SQL and parameters of the value, where it may be the key of a row that a part of that name inserts."""
        if value is None and self.referred and (name := names.get(id(self.referred(row, None)))):
            return f"(SELECT id FROM {name})", []  # noqa: S608
        if type(value) is WithKey and (name := names.get(id(value.row))):
            return f"%s::jsonb || jsonb_build_object(%s::text, (SELECT id FROM {name}))", [  # noqa: S608
                self.save(value, connection), value.name,
            ]  # fmt: skip
        return "%s", [self.prepared(value, connection)]


class WithKey(dict[str, Any]):
    """A JSON object that gets, when it is inserted, the key of a row that is inserted before it."""

    def __init__(self, facts: Mapping[str, Any], name: str, row: Model) -> None:
        super().__init__(facts)
        self.name, self.row = name, row

    def complete(self) -> None:
        if self.row.pk is not None:
            self[self.name] = self.row.pk


class Inserted(Generic[Row]):
    """INSERT of rows of a model. `conflict` says what to do about a row that stands already."""

    def __init__(self, model: type[Row], conflict: str = "") -> None:
        self.model = model
        self._conflict = conflict
        self._columns = [_Column.of(field) for field in model._meta.concrete_fields if not field.primary_key]
        self._plain = ("%s",) * len(self._columns)
        self._sql = cache(self._sql_for)

    def insert(self, rows: Sequence[Row]) -> None:
        """The rows may refer to rows that are inserted before them. Inside `written_together` they are not told
        their keys.
        """
        if (waiting := _waiting.get()) is None:
            self.insert_with_keys(rows)
        elif rows:
            waiting.writes.append(_Insert(self, rows))

    def insert_with_keys(self, rows: Sequence[Row]) -> int:
        """How many were written. Where some stood already, none of them is given its key."""
        return sum(map(self._insert_with_keys, _parts(rows)))

    def _insert_with_keys(self, rows: Sequence[Row]) -> int:
        flush()
        sql, values = self.statement(rows)
        with cursor() as at:
            at.execute(sql, values)
            keys = at.fetchall()
        if len(keys) == len(rows):
            for row, (key,) in zip(rows, keys, strict=True):
                row.pk, row._state.adding = key, False
        return len(keys)

    def statement(self, rows: Sequence[Row]) -> tuple[str, list[Any]]:
        """SQL and parameters."""
        connection = _connection()
        told = [(column, value) for row in rows for column, value in self._told(row)]
        places = ", ".join([f"({', '.join(self._plain)})"] * len(rows))
        return self._sql(f"VALUES {places}"), [column.prepared(value, connection) for column, value in told]

    def statement_if(self, condition: str, row: Row) -> tuple[str, list[Any]]:
        """SQL and parameters of one row that is inserted where a condition holds."""
        connection = _connection()
        values = [column.prepared(value, connection) for column, value in self._told(row)]
        return self._sql(f"SELECT {', '.join(self._plain)} WHERE {condition}"), values

    def part(self, row: Row, names: Mapping[int, str]) -> tuple[str, list[Any]]:
        """SQL and parameters as a part of one statement; `names` are of the parts that insert what is referred to."""
        connection = _connection()
        parts = [column.part(value, row, names, connection) for column, value in self._told(row)]
        places = ", ".join([place for place, _ in parts])
        return self._sql(f"VALUES ({places})"), [value for _, values in parts for value in values]

    def _told(self, row: Row) -> Iterator[tuple[_Column, Any]]:
        """What is written, with the keys of rows that were written since this one was made."""
        for column in self._columns:
            value = getattr(row, column.name)
            if type(value) is WithKey:
                value.complete()
            elif value is None and column.referred and (other := column.referred(row, None)) is not None:
                value = other.pk
                setattr(row, column.name, value)
            yield column, value

    def _sql_for(self, rows: str) -> str:
        columns = ", ".join(f'"{column.column}"' for column in self._columns)
        return f'INSERT INTO "{self.model._meta.db_table}" ({columns}) {rows} {self._conflict} RETURNING "id"'


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    while rows:
        length = next(length for length in LENGTHS if length <= len(rows))
        yield rows[:length]
        rows = rows[length:]


def update(rows: Iterable[Model], *names: str) -> None:
    """Writes these columns of each row."""
    rows = list(rows)
    if not rows:
        return
    columns, connection = _columns(rows[0]._meta, names), _connection()
    values = [[*(column.prepared(getattr(row, column.name), connection) for column in columns), row.pk] for row in rows]
    sql = f'UPDATE "{rows[0]._meta.db_table}" SET {_assignments(columns)} WHERE "id" = %s'  # noqa: S608
    if len(values) == 1:
        _write(sql, values[0])
    else:
        with cursor() as at:
            at.executemany(sql, values)


def update_alike(rows: Iterable[Model], *names: str) -> None:
    """Writes these columns: one statement for all rows that got the same values, which most of a batch did."""
    alike: dict[tuple[Any, ...], list[Model]] = defaultdict(list)
    for row in rows:
        if row.pk is not None:
            alike[tuple(getattr(row, name) for name in names)].append(row)
    connection = _connection()
    for values, group in alike.items():
        columns = _columns(group[0]._meta, names)
        saved = [column.prepared(value, connection) for column, value in zip(columns, values, strict=True)]
        chosen, keys = among('"id"', [row.pk for row in group])
        table = group[0]._meta.db_table
        _write(f'UPDATE "{table}" SET {_assignments(columns)} WHERE {chosen}', [*saved, *keys])  # noqa: S608


@cache
def _columns(meta: "Options[Any]", names: tuple[str, ...]) -> list[_Column]:
    return [_Column.of(meta.get_field(name)) for name in names]


def among(column: str, values: Iterable[Any]) -> tuple[str, list[Any]]:
    """The condition that a column has one of these values, and its parameters."""
    values = list(values)
    if len(values) == 1:
        # A plan that PostgreSQL makes while a table is small takes many for more than half of it, and one for one.
        return f"{column} = %s", values
    if _connection().vendor == "postgresql":
        return f"{column} = ANY(%s)", [values]
    return f"{column} IN ({', '.join(['%s'] * len(values))})", values


def fetch(sql: str, parameters: Iterable[Any]) -> list[tuple[Any, ...]]:
    with cursor() as at:
        at.execute(sql, _adapted(parameters))
        rows: list[tuple[Any, ...]] = at.fetchall()
    return rows


def execute(sql: str, parameters: Iterable[Any]) -> None:
    _write(sql, _adapted(parameters))


@contextmanager
def written_together() -> Iterator[None]:
    """What this module writes inside is kept, and goes out as one statement: before the next question, or at the end.

    Belongs inside of a transaction. No row may be written twice in between, errors show where it goes out, and a
    queryset does not see what is kept. SQLite is in the process itself: there is no way to spare, and nothing is kept.
    """
    connection = _connection()
    if connection.vendor != "postgresql" or _waiting.get() is not None:
        yield
        return
    token = _waiting.set(_Waiting(connection))
    try:
        with connection.wrap_database_errors:
            yield
            flush()
    finally:
        _waiting.reset(token)


def flush() -> None:
    """Writes what is kept."""
    waiting = _waiting.get()
    if waiting is None or not waiting.writes:
        return
    writes, waiting.writes = waiting.writes, []
    if len(writes) > 1 and all(len(write.rows) == 1 for write in writes if isinstance(write, _Insert)):
        _write_together(writes)
        return
    for write in writes:
        if isinstance(write, _Insert):
            write.into.insert_with_keys(write.rows)
        else:
            _run(write.sql, write.parameters)


@dataclass(frozen=True, slots=True)
class _Insert:
    into: Inserted[Any]
    rows: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Change:
    sql: str
    parameters: list[Any]


class _Waiting:
    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.writes: list[_Insert | _Change] = []


_waiting: ContextVar[_Waiting | None] = ContextVar("waiting", default=None)


def _write(sql: str, parameters: list[Any]) -> None:
    if (waiting := _waiting.get()) is None:
        _run(sql, parameters)
    else:
        waiting.writes.append(_Change(sql, parameters))


def _run(sql: str, parameters: list[Any]) -> None:
    with cursor() as at:
        at.execute(sql, parameters)


def _write_together(writes: "Sequence[_Insert | _Change]") -> None:
    """One statement, of which each write is a part. The foreign keys are checked at the commit."""
    names: dict[int, str] = {}
    parts, parameters = [], []
    for number, write in enumerate(writes):
        name = f"write{number}"
        if isinstance(write, _Insert):
            (row,) = write.rows
            sql, values = write.into.part(row, names)
            names[id(row)] = name
        else:
            sql, values = write.sql, write.parameters
        parts.append(f"{name} AS ({sql})")
        parameters += values
    _run(f"WITH {', '.join(parts)} SELECT 1", parameters)


def cursor() -> Any:
    """A cursor for one statement, which is prepared. SQLite keeps prepared statements itself."""
    flush()
    connection = _connection()
    if connection.vendor != "postgresql":
        return connection.cursor()
    connection.ensure_connection()
    own = _Cursor(connection.connection)
    if connection.queries_logged:
        return connection.make_debug_cursor(own)
    if _waiting.get() is not None and not connection.execute_wrappers:
        # `written_together` makes Django's errors of whatever goes wrong.
        return own
    return connection.make_cursor(own)


class _Cursor(psycopg.RawCursor[Any]):
    """Prepares statements as they are written here.

    Django's own cursor puts the parameters into the text, and the text is another one each time. psycopg's usual one
    looks for placeholders anew in every long statement.
    """

    def execute(self, query: Any, params: Any = None, **options: Any) -> "_Cursor":
        return super().execute(_numbered(query), params, **options)

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        super().executemany(_numbered(query), params_seq, **options)


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> bytes:
    """The placeholders as PostgreSQL names them."""
    first, *others = sql.split("%s")
    return "".join([first, *(f"${number}{text}" for number, text in enumerate(others, start=1))]).encode()


def _connection() -> Any:
    """The connection itself: `django.db.connection` looks it up anew for each of its attributes."""
    waiting = _waiting.get()
    return connections[DEFAULT_DB_ALIAS] if waiting is None else waiting.connection


def _assignments(columns: Iterable[_Column]) -> str:
    return ", ".join(f'"{column.column}" = %s' for column in columns)


def _adapted(parameters: Iterable[Any]) -> list[Any]:
    adapt = _connection().ops.adapt_datetimefield_value
    return [adapt(value) if isinstance(value, datetime) else value for value in parameters]
