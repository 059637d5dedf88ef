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
from functools import cache
from typing import Any, Generic, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, Model

Row = TypeVar("Row", bound=Model)
Converter = Callable[[Any, Any, Any], Any]

ROWS_AT_ONCE = 500
# A statement of more rows than this comes in too many lengths to be prepared for each.
PREPARED_ROWS = 4


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


class Inserted(Generic[Row]):
    """INSERT of rows of a model. `conflict` says what to do about a row that stands already."""

    def __init__(self, model: type[Row], conflict: str = "") -> None:
        self.model = model
        self._conflict = conflict
        self._fields: list[tuple[str, Field[Any, Any]]] = [
            (field.attname, field) for field in model._meta.concrete_fields if not field.primary_key
        ]
        self._references = [field for _, field in self._fields if field.is_relation]
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
        return sum(
            self._insert_with_keys(rows[start : start + ROWS_AT_ONCE]) for start in range(0, len(rows), ROWS_AT_ONCE)
        )

    def _insert_with_keys(self, rows: Sequence[Row]) -> int:
        with cursor(prepared=len(rows) <= PREPARED_ROWS) as at:
            at.execute(self._sql((None,) * len(self._fields), len(rows)), self.values(rows))
            keys = at.fetchall()
        if len(keys) == len(rows):
            for row, (key,) in zip(rows, keys, strict=True):
                row.pk, row._state.adding = key, False
        return len(keys)

    def values(self, rows: Sequence[Row]) -> list[Any]:
        connection, fields = _connection(), self._fields
        for row in rows:
            self._refer(row)
        return [field.get_db_prep_save(getattr(row, name), connection) for row in rows for name, field in fields]

    def together(self, rows: Sequence[Row], names: Mapping[int, str]) -> tuple[str, list[Any]]:
        """SQL and parameters of a part of one statement; `names` are of the parts that insert what is referred to."""
        if len(rows) != 1 or not names:
            return self._sql((None,) * len(self._fields), len(rows)), self.values(rows)
        (row,) = rows
        self._refer(row)
        connection, places, values = _connection(), [], []
        for name, field in self._fields:
            value = getattr(row, name)
            referred = names.get(id(field.get_cached_value(row, None))) if value is None and field.is_relation else None
            places.append(referred)
            values += [] if referred else [field.get_db_prep_save(value, connection)]
        return self._sql(tuple(places), 1), values

    def _refer(self, row: Row) -> None:
        """The keys of rows that were written since this one was made."""
        for field in self._references:
            if getattr(row, field.attname) is None and (other := field.get_cached_value(row, None)) is not None:
                setattr(row, field.attname, other.pk)

    def _sql_for(self, references: tuple[str | None, ...], rows: int) -> str:
        columns = ", ".join(f'"{field.column}"' for _, field in self._fields)
        row = ", ".join("%s" if name is None else f"(SELECT id FROM {name})" for name in references)  # noqa: S608
        places = ", ".join([f"({row})"] * rows)
        table = self.model._meta.db_table
        return f'INSERT INTO "{table}" ({columns}) VALUES {places} {self._conflict} RETURNING "id"'  # noqa: S608


def update(rows: Iterable[Model], *names: str) -> None:
    """Writes these columns of each row."""
    rows = list(rows)
    if not rows:
        return
    meta, connection = rows[0]._meta, _connection()
    fields = [meta.get_field(name) for name in names]
    values = [
        [*(field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields), row.pk] for row in rows
    ]
    sql = f'UPDATE "{meta.db_table}" SET {_assignments(fields)} WHERE "id" = %s'  # noqa: S608
    if len(values) == 1:
        _write(sql, values[0])
    else:
        flush()
        with cursor(prepared=True) as at:
            at.executemany(sql, values)


def update_alike(rows: Iterable[Model], *names: str) -> None:
    """Writes these columns: one statement for all rows that got the same values, which most of a batch did."""
    alike: dict[tuple[Any, ...], list[Model]] = defaultdict(list)
    for row in rows:
        if row.pk is not None:
            alike[tuple(getattr(row, name) for name in names)].append(row)
    connection = _connection()
    for values, group in alike.items():
        meta = group[0]._meta
        fields = [meta.get_field(name) for name in names]
        saved = [field.get_db_prep_save(value, connection) for field, value in zip(fields, values, strict=True)]
        chosen, keys = among('"id"', [row.pk for row in group])
        _write(f'UPDATE "{meta.db_table}" SET {_assignments(fields)} WHERE {chosen}', [*saved, *keys])  # noqa: S608


def among(column: str, values: Iterable[Any]) -> tuple[str, list[Any]]:
    """The condition that a column has one of these values, and its parameters."""
    values = list(values)
    if _connection().vendor == "postgresql":
        return f"{column} = ANY(%s)", [values]
    return f"{column} IN ({', '.join(['%s'] * len(values))})", values


def fetch(sql: str, parameters: Iterable[Any]) -> list[tuple[Any, ...]]:
    with cursor(prepared=True) as at:
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
    token = _waiting.set(_Waiting())
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
    if len(writes) > 1 and all(len(write.rows) <= 1 for write in writes if isinstance(write, _Insert)):
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
    def __init__(self) -> None:
        self.writes: list[_Insert | _Change] = []


_waiting: ContextVar[_Waiting | None] = ContextVar("waiting", default=None)


def _write(sql: str, parameters: list[Any]) -> None:
    if (waiting := _waiting.get()) is None:
        _run(sql, parameters)
    else:
        waiting.writes.append(_Change(sql, parameters))


def _run(sql: str, parameters: list[Any]) -> None:
    with cursor(prepared=True) as at:
        at.execute(sql, parameters)


def _write_together(writes: "Sequence[_Insert | _Change]") -> None:
    """One statement, of which each write is a part. The foreign keys are checked at the commit."""
    names: dict[int, str] = {}
    parts, parameters = [], []
    for number, write in enumerate(writes):
        name = f"write{number}"
        if isinstance(write, _Insert):
            sql, values = write.into.together(write.rows, names)
            names |= {id(row): name for row in write.rows}
        else:
            sql, values = write.sql, write.parameters
        parts.append(f"{name} AS ({sql})")
        parameters += values
    _run(f"WITH {', '.join(parts)} SELECT 1", parameters)


def cursor(*, prepared: bool) -> Any:
    """A cursor for one statement. SQLite keeps prepared statements itself."""
    flush()
    connection = _connection()
    if connection.vendor != "postgresql" or not prepared:
        return connection.cursor()
    connection.ensure_connection()
    # Django's own cursor puts the parameters into the text, and the text is another one each time.
    own = psycopg.Cursor(connection.connection)
    if connection.queries_logged:
        return connection.make_debug_cursor(own)
    if _waiting.get() is not None and not connection.execute_wrappers:
        # `written_together` makes Django's errors of whatever goes wrong.
        return own
    return connection.make_cursor(own)


def _connection() -> Any:
    """The connection itself: `django.db.connection` looks it up anew for each of its attributes."""
    return connections[DEFAULT_DB_ALIAS]


def _assignments(fields: "Iterable[Field[Any, Any]]") -> str:
    return ", ".join(f'"{field.column}" = %s' for field in fields)


def _adapted(parameters: Iterable[Any]) -> list[Any]:
    adapt = _connection().ops.adapt_datetimefield_value
    return [adapt(value) if isinstance(value, datetime) else value for value in parameters]
