"""The candle table in bulk: arrays in, arrays out, without a Python object for each candle.

PostgreSQL takes and gives columns in its binary form, which numpy writes and reads as it stands in memory; SQLite binds
and returns numbers, and keeps times as text. Both skip a candle whose time is stored already, and nothing else: what
breaks a constraint is an error.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from django.db import connection

from engine.candles import COLUMNS

Times = npt.NDArray[np.datetime64]
Array = npt.NDArray[np.float64]

NAMES = ", ".join(COLUMNS)
# ruff: noqa: S608 (what is put into the statements are names and counts of this module)
TARGET = f"market_candle (symbol_id, interval, source, first_seen, open_time, {NAMES})"
UNIQUE = "ON CONFLICT (symbol_id, interval, open_time) DO NOTHING"

# The epoch of PostgreSQL, and its object ids of float8 and timestamptz and of their arrays (pg_type.dat).
EPOCH_2000 = np.datetime64("2000-01-01", "us")
ITEM_OIDS, ARRAY_OIDS = {"f": 701, "i": 1184}, {"f": 1022, "i": 1185}
INSERT_ARRAYS = (
    f"INSERT INTO {TARGET} SELECT %s::bigint, %s::text, %s::text, %s::timestamptz, * "
    f"FROM unnest({', '.join(['%s'] * (1 + len(COLUMNS)))}) {UNIQUE}"
)
# Binary COPY: a header, rows of a count of fields and of length and value of each, and a trailer.
HEADER_BYTES, TRAILER_BYTES = 19, 2
COPIED_ROW = np.dtype([
    ("fields", ">i2"), ("time_length", ">i4"), ("time", ">i8"),
    *(field for name in COLUMNS for field in ((f"{name}_length", ">i4"), (name, ">f8"))),
])  # fmt: skip


def insert(symbol_id: int, interval: str, source: str, seen: datetime, times: Times, values: Array) -> int:
    """Stores candles whose times are not stored yet, and returns how many these were. `values` is rows x COLUMNS."""
    if not len(times):
        return 0
    if connection.vendor == "postgresql":
        return _insert_arrays(symbol_id, interval, source, seen, times, values)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {TARGET} VALUES (%s, %s, %s, %s, {', '.join(['%s'] * (1 + len(COLUMNS)))}) {UNIQUE}",
            [
                (symbol_id, interval, source, _text(seen), time, *row)
                for time, row in zip(_texts(times), values.tolist(), strict=True)
            ],
        )
        return int(cursor.rowcount)


def read(
    symbol_id: int,
    interval: str,
    start: datetime | None = None,
    end: datetime | None = None,
    newest: int | None = None,
) -> tuple[Times, Array]:
    """Times, values (COLUMNS x rows) of the candles with start <= open time < end, or the newest of them, in order."""
    conditions, parameters = ["symbol_id = %s", "interval = %s"], [symbol_id, interval]
    for condition, time in (("open_time >= %s", start), ("open_time < %s", end)):
        if time is not None:
            conditions.append(condition)
            parameters.append(connection.ops.adapt_datetimefield_value(time))
    order = "open_time" if newest is None else f"open_time DESC LIMIT {int(newest)}"
    rows = f"FROM market_candle WHERE {' AND '.join(conditions)} ORDER BY {order}"
    times, values = (_copied if connection.vendor == "postgresql" else _fetched)(rows, parameters)
    return (times, values) if newest is None else (times[::-1], values[:, ::-1])


def _copied(rows: str, parameters: Sequence[Any]) -> tuple[Times, Array]:
    sql = f"COPY (SELECT open_time, {NAMES} {rows}) TO STDOUT (FORMAT BINARY)"
    content = bytearray()
    # psycopg's own cursor: with DEBUG, Django's wrapper takes no parameters for a COPY.
    with connection.cursor() as cursor, cursor.cursor.copy(sql, parameters) as copy:
        for row in copy:
            content += row  # at once: a million rows kept until the end would have to be looked through for garbage
    found = np.frombuffer(memoryview(content)[HEADER_BYTES:-TRAILER_BYTES], COPIED_ROW)
    values = np.empty((len(COLUMNS), len(found)))
    for place, name in enumerate(COLUMNS):
        values[place] = found[name]
    return found["time"].astype("timedelta64[us]") + EPOCH_2000, values


def _fetched(rows: str, parameters: Sequence[Any]) -> tuple[Times, Array]:
    with connection.cursor() as cursor:
        # The cast keeps Django from making a datetime of each text.
        cursor.execute(f"SELECT CAST(open_time AS TEXT), {NAMES} {rows}", parameters)
        columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * (1 + len(COLUMNS))
    values = np.fromiter(chain.from_iterable(columns[1:]), np.float64, len(COLUMNS) * len(columns[0]))
    return np.array(columns[0], "datetime64[us]"), values.reshape(len(COLUMNS), -1)


def _insert_arrays(symbol_id: int, interval: str, source: str, seen: datetime, times: Times, values: Array) -> int:
    with _array_cursor() as cursor:
        cursor.execute(INSERT_ARRAYS, _arrays(symbol_id, interval, source, seen, times, values))
        return int(cursor.rowcount)


def _arrays(symbol_id: int, interval: str, source: str, seen: datetime, times: Times, values: Array) -> list[Any]:
    """The parameters of INSERT_ARRAYS."""
    columns = [(times - EPOCH_2000).astype("timedelta64[us]").astype(np.int64), *values.T]
    return [symbol_id, interval, source, seen, *map(_Column, columns)]


def _array_cursor() -> Any:
    """psycopg's cursor with parameters of its own, in binary form; Django's puts them into the text."""
    connection.ensure_connection()
    # The stubs know Django's own cursors alone.
    cursor = connection.make_cursor(psycopg.Cursor(connection.connection))  # type: ignore[arg-type]
    cursor.adapters.register_dumper(_Column, _ColumnDumper)
    return cursor


@dataclass(frozen=True, slots=True)
class _Column:
    """An array without gaps: of float64, or of int64 for microseconds since 2000."""

    values: npt.NDArray[Any]


class _ColumnDumper(psycopg.adapt.Dumper):
    """The binary form of a one-dimensional array (array_recv in PostgreSQL's arrayfuncs.c)."""

    format = psycopg.pq.Format.BINARY

    def get_key(self, obj: _Column, format: Any) -> Any:
        return (self.cls, obj.values.dtype.kind)

    def upgrade(self, obj: _Column, format: Any) -> "_ColumnDumper":
        dumper = _ColumnDumper(self.cls)
        dumper.oid = ARRAY_OIDS[obj.values.dtype.kind]
        return dumper

    def dump(self, obj: _Column) -> bytes:
        kind, count = obj.values.dtype.kind, len(obj.values)
        items = np.empty(count, [("length", ">i4"), ("value", f">{kind}8")])
        items["length"], items["value"] = 8, obj.values
        # Dimensions, no NULL, the type of the items, how many, and that they count from 1.
        return struct.pack(">iiIii", 1, 0, ITEM_OIDS[kind], count, 1) + items.tobytes()


def _text(time: datetime) -> str:
    """As Django writes times into SQLite."""
    return str(time.astimezone(UTC).replace(tzinfo=None))


def _texts(times: Times) -> list[str]:
    whole = (times.astype("int64") % 1_000_000 == 0).all()
    if not whole:
        return [str(time) for time in times.tolist()]
    return [text.replace("T", " ") for text in np.datetime_as_string(times, "s").tolist()]
