"""Rows of models by prepared statements, each executed at once: what lies between a candle and its trade.

Measured with benchmarks/latency.py: the ORM takes 0.3 to 0.7 ms for a statement, of which the database needs 0.1, and
some thirty lie on that way. Values pass through the fields of the model, so defaults, `auto_now` and converters hold. A
value that only the database can compute goes through the ORM, as everything does on SQLite, which is in the process.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from string import Formatter
from types import NoneType
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from django.db import connection, transaction
from django.db.models import Field, JSONField, Model

Row = TypeVar("Row", bound=Model)

# So many rows go into one INSERT: a few lengths, each of which is prepared once for a connection.
LENGTHS = (256, 64, 16, 4, 1)

# ruff: noqa: S608 (statements are put together from names of models and of this module)
LOCKED_BY_KEY = "id {keys} ORDER BY id {lock}"
SETTINGS_OF = "account_id {accounts}"
OPEN_POSITIONS_OF = "closed_at IS NULL AND account_id {accounts} ORDER BY id"
FOLLOWED_BY = "is_active AND account_id {accounts} AND symbol_id {symbols}"
DECISIONS = "id {keys}"
LOCKED_CONCERNED = """id IN (
    SELECT follow.account_id FROM trading_message AS snapshot
    JOIN trading_follow AS follow ON follow.symbol_id = snapshot.symbol_id AND follow.is_active
    JOIN trading_tradingsettings AS own
        ON own.account_id = follow.account_id AND own.interval = snapshot.interval AND own.status = 'running'
    WHERE snapshot.id {snapshots}
    UNION
    SELECT held.account_id FROM trading_message AS snapshot
    JOIN trading_position AS held ON held.symbol_id = snapshot.symbol_id AND held.closed_at IS NULL
    JOIN trading_tradingsettings AS own ON own.account_id = held.account_id AND own.interval = snapshot.interval
    WHERE snapshot.id {snapshots}
) ORDER BY id {lock}"""
"""Accounts that trade one of the markets of these snapshots, and those that hold its symbol: they stay protected."""


def fetch(model: type[Row], condition: str, without: tuple[str, ...] = (), **keys: Collection[int]) -> list[Row]:
    """The rows for which a condition of this module holds; {name} in it stands for being one of the keys of that name.

    The fields in `without` are read when they are asked for.
    """
    names = [name for _, name, _, _ in Formatter().parse(condition) if name in keys]
    if connection.vendor == "postgresql":
        among = dict.fromkeys(keys, "= ANY(%s)")
        parameters: list[Any] = [list(keys[name]) for name in names]
    else:
        among = {name: f"IN ({', '.join(['%s'] * len(found))})" for name, found in keys.items()}
        parameters = [key for name in names for key in keys[name]]
    lock = "FOR UPDATE" if connection.features.has_select_for_update else ""
    where = condition.format(**among, lock=lock)
    columns = _named(_fields(model, without))
    return returned(model, f'SELECT {columns} FROM "{model._meta.db_table}" WHERE {where}', parameters, without)


def returned(model: type[Row], sql: str, parameters: Sequence[Any], without: tuple[str, ...] = ()) -> list[Row]:
    """The rows that a statement gives; its columns are those of the model, in their order."""
    if connection.vendor != "postgresql":
        return list(model._default_manager.raw(sql, parameters))
    fields = _fields(model, without)
    converters = _converters(fields)
    names, rows = [field.attname for field in fields], []
    for values in _execute(sql, parameters).fetchall():
        read = list(values)
        for place, convert, expression in converters:
            read[place] = convert(read[place], expression, connection)
        rows.append(model.from_db(connection.alias, names, read))
    return rows


def columns_of(model: type[Model]) -> str:
    """All columns of a model, for RETURNING."""
    return _named(_fields(model, ()))


def insert(rows: Sequence[Row], updates: Sequence[str] = (), unique: Sequence[str] = ()) -> None:
    """Writes new rows and gives them their keys. With `unique`, a row that has these already gets `updates` instead, or
    is left as it is, and then no keys are given.
    """
    if not rows:
        return
    model = type(rows[0])
    fields = [field for field in _fields(model, ()) if not field.primary_key]
    expressions = [value for row in rows for value in row.__dict__.values() if hasattr(value, "resolve_expression")]
    if connection.vendor != "postgresql" or expressions:
        model._default_manager.bulk_create(
            rows,
            # Not `ignore_conflicts`: SQLite would also leave out rows that break any other constraint.
            update_conflicts=bool(unique),
            update_fields=updates or unique or None,
            unique_fields=unique or None,
        )
        return
    conflict = ""
    if unique:
        known = _named([model._meta.get_field(name) for name in unique])
        columns = [_named([model._meta.get_field(name)]) for name in updates]
        action = f"UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in columns)}" if updates else "NOTHING"
        conflict = f"ON CONFLICT ({known}) DO {action}"
    places, done = f"({', '.join(['%s'] * len(fields))})", 0
    # All of them or none, where the caller holds no transaction.
    with transaction.atomic(savepoint=False):
        while done < len(rows):
            length = next(length for length in LENGTHS if length <= len(rows) - done)
            part = rows[done : done + length]
            for row in part:
                # What bulk_create calls too: it takes over the key of a related row that was saved after this was made.
                row._prepare_related_fields_for_save(operation_name="insert")  # type: ignore[attr-defined]
            into = f'"{model._meta.db_table}" ({_named(fields)})'
            sql = f"INSERT INTO {into} VALUES {', '.join([places] * length)} {conflict} RETURNING id"
            keys = _execute(sql, [value for row in part for value in _values(row, fields, is_new=True)]).fetchall()
            # Where some rows were there already, it is not known which of them got which key.
            for row, (key,) in zip(part, keys, strict=True) if len(keys) == length else ():
                row.pk, row._state.adding, row._state.db = key, False, connection.alias
            done += length


def update(row: Model, names: Collection[str] = ()) -> None:
    """Writes all fields of a row, or those of these names. Raises DoesNotExist where there is no such row."""
    fields = [field for field in _fields(type(row), ()) if not field.primary_key]
    if names:
        fields = [field for field in fields if field.attname in names]
    values = _values(row, fields, is_new=False)
    if connection.vendor != "postgresql" or any(hasattr(value, "resolve_expression") for value in values):
        row.save(force_update=True, update_fields=[field.name for field in fields])
        return
    assignments = ", ".join(f'"{field.column}" = %s' for field in fields)
    sql = f'UPDATE "{row._meta.db_table}" SET {assignments} WHERE "id" = %s'
    if _execute(sql, [*values, row.pk]).rowcount != 1:
        # Each model has its own; the stubs give it to concrete classes only.
        raise type(row).DoesNotExist(f"{row!r} is not there to be updated")  # type: ignore[attr-defined]


def _named(fields: "Iterable[Any]") -> str:
    return ", ".join(f'"{field.column}"' for field in fields)


# Values that psycopg adapts as the field would, so that no field has to be asked.
PLAIN = frozenset({NoneType, bool, int, str, datetime, UUID})


def _values(row: Model, fields: "Iterable[Field[Any, Any]]", is_new: bool) -> list[Any]:
    values = [field.pre_save(row, is_new) for field in fields]
    return [
        value
        if type(value) in PLAIN and not isinstance(field, JSONField)
        else field.get_db_prep_save(value, connection)
        for field, value in zip(fields, values, strict=True)
    ]


def _fields(model: type[Model], without: tuple[str, ...]) -> "tuple[Field[Any, Any], ...]":
    return tuple(field for field in model._meta.concrete_fields if field.attname not in without)


@lru_cache(maxsize=100)
def _converters(fields: "tuple[Field[Any, Any], ...]") -> list[tuple[int, Any, Any]]:
    found = []
    for place, field in enumerate(fields):
        column = field.get_col(field.model._meta.db_table)
        for convert in (*connection.ops.get_db_converters(column), *field.get_db_converters(connection)):
            found.append((place, convert, column))
    return found


def _execute(sql: str, parameters: Sequence[Any]) -> Any:
    """psycopg's own cursor: it prepares a statement that comes again, where Django's puts parameters into the text."""
    connection.ensure_connection()
    # The stubs know Django's own cursors alone.
    cursor = connection.make_cursor(psycopg.RawCursor(connection.connection))  # type: ignore[arg-type]
    cursor.execute(_numbered(sql), parameters)
    return cursor


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> str:
    """The placeholders as PostgreSQL names them. psycopg would search a long statement for them each time."""
    first, *others = sql.split("%s")
    return "".join([first, *(f"${number}{text}" for number, text in enumerate(others, start=1))])
