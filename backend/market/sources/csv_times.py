"""The times of a CSV file, parsed a whole column at once from its bytes.

Times of equal length form a matrix of bytes, which is compared with the permitted formats of that length; only then
does pyarrow convert them, which alone would accept many more formats.
"""

from collections import defaultdict
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

Times = npt.NDArray[np.datetime64]
Zones = npt.NDArray[np.int16]

DATE = "0000-00-00"
CLOCKS = ("T00:00:00", "T00:00", "T00:00:00.000", "T00:00:00.000000")
ZONES = ("Z", "+00:00", "", "+0000", "+00")
UNIX_UNITS = {9: "s", 10: "s", 12: "ms", 13: "ms", 15: "us", 16: "us", 18: "ns", 19: "ns"}

EARLIEST, LATEST = np.datetime64("1900-01-01", "us"), np.datetime64("2200-01-01", "us")

# Zones are minutes east of UTC, or one of these values outside of their range.
NO_ZONE, UNIX = 10_000, 20_000
DAYLIGHT_SAVING_MINUTES = 60
DAY_MINUTES = 24 * 60

# The bytes allowed where a form has a digit or a sign. The comma between + and - cannot occur in a field.
ALLOWED = {"0": ("0", "9"), "+": ("+", "-")}


class RowDefect(Exception):
    """A defect at a row of the given block."""

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(problem)
        self.row = row
        self.problem = problem


def _forms_by_length() -> dict[int, list[tuple[str, str]]]:
    forms: dict[int, list[tuple[str, str]]] = defaultdict(list, {len(DATE): [(DATE, "")]})
    for zone in ZONES:
        for clock in CLOCKS:
            forms[len(DATE + clock + zone)].append((DATE + clock, zone))
    return dict(forms)


FORMS = _forms_by_length()


def parse_times(texts: pa.Array) -> tuple[Times, Zones]:
    """The instants (datetime64[us]) that binary texts name, and their zones.

    Raises RowDefect for the first text, in the order of lengths and rows, that is not a time.
    """
    lengths = pyarrow.compute.binary_length(texts).to_numpy()
    if (lengths == lengths[0]).all():
        return _parse_equal(texts, np.arange(len(texts)))
    times, zones = np.empty(len(texts), "datetime64[us]"), np.empty(len(texts), np.int16)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        times[rows], zones[rows] = _parse_equal(texts.take(pa.array(rows)), rows)
    return times, zones


def check_zones(zones: Zones) -> None:
    """Raises RowDefect where the time zones of one file are inconsistent."""
    strange = np.abs(zones - zones[0]) > DAYLIGHT_SAVING_MINUTES
    if strange.any():
        row = int(np.argmax(strange))
        raise RowDefect(row, f"the time is {_spell(zones[row])}, but the first one is {_spell(zones[0])}")


def _parse_equal(texts: pa.Array, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The times and zones of texts of one length; `rows` are their places in the column, for errors."""
    length = len(texts[0].as_py())
    if length not in FORMS and length not in UNIX_UNITS:
        raise _not_a_time(texts[0].as_py(), rows[0])
    fields = _fields(texts, length)
    if length in UNIX_UNITS and _within(fields[:1], "0" * length).all():
        times, zones = _parse_unix(fields, rows)
    else:
        times, zones = _parse_iso(texts, fields, rows)
    outside = (times < EARLIEST) | (times >= LATEST)
    if outside.any():
        row = int(np.argmax(outside))
        raise RowDefect(int(rows[row]), f"the time {_quoted(fields[row])} is outside 1900..2199")
    return times, zones


def _fields(texts: pa.Array, length: int) -> np.ndarray:
    """The bytes of texts of one length, without a copy."""
    _, offsets, data = texts.buffers()
    first = int(np.frombuffer(offsets, np.int32)[texts.offset])
    return np.frombuffer(data, np.uint8, len(texts) * length, first).reshape(-1, length)


def _parse_unix(fields: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    length = fields.shape[1]
    _refuse_unless(_within(fields, "0" * length), fields, rows)
    numbers = (fields - ord("0")) @ (10 ** np.arange(length - 1, -1, -1, dtype=np.int64))
    times = numbers.astype(f"datetime64[{UNIX_UNITS[length]}]").astype("datetime64[us]")
    return times, np.full(len(rows), UNIX, np.int16)


def _parse_iso(texts: pa.Array, fields: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    forms = FORMS.get(fields.shape[1])
    if not forms:
        raise _not_a_time(fields[0], rows[0])
    with_t = _with_t(fields)
    matches = [_within(with_t, local + zone) for local, zone in forms]
    best = int(np.argmax([match.sum() for match in matches]))
    _refuse_unless(matches[best], fields, rows)
    local, zone = forms[best]
    zones = _zones(fields[:, len(local) :], zone, fields, rows)
    return _instants(texts, len(local), rows, zone), zones


def _with_t(fields: np.ndarray) -> np.ndarray:
    """The fields with a T between date and clock where they have a space."""
    if fields.shape[1] == len(DATE) or (fields[:, len(DATE)] == ord("T")).all():
        return fields
    fields = fields.copy()
    fields[fields[:, len(DATE)] == ord(" "), len(DATE)] = ord("T")
    return fields


def _within(fields: np.ndarray, form: str) -> np.ndarray:
    """Which rows have at every place a byte that the form allows there."""
    # Flat: broadcasting a short row over many is slow in numpy.
    flat, rows = np.ascontiguousarray(fields).ravel(), 1 << len(fields).bit_length()
    low, high = (repeated[: flat.size] for repeated in _bounds(form, rows))
    inside = (flat >= low) & (flat <= high)
    return np.full(len(fields), True) if inside.all() else np.all(inside.reshape(fields.shape), axis=1)


@lru_cache(maxsize=32)
def _bounds(form: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest byte at each place of so many fields."""
    sides = ([ord(ALLOWED.get(sign, (sign, sign))[side]) for sign in form] for side in (0, 1))
    low, high = (np.tile(np.array(side, np.uint8), rows) for side in sides)
    return low, high


def _instants(texts: pa.Array, length: int, rows: np.ndarray, zone: str) -> np.ndarray:
    """`length` is that of the part before the zone."""
    form = pa.timestamp("us", "UTC" if zone else None)
    try:
        return texts.view(pa.string()).cast(form).to_numpy()
    except pa.ArrowInvalid:
        # Month 13 or 30 February: pyarrow does not name the row.
        row = next(row for row, text in enumerate(texts) if not _exists(text.as_py()[:length]))
        problem = f"{_quoted(texts[row].as_py()[:length])} does not exist in the calendar"
        raise RowDefect(int(rows[row]), problem) from None


def _exists(text: bytes) -> bool:
    try:
        np.datetime64(text.decode(), "us")
    except ValueError:
        return False
    return True


def _zones(signs: np.ndarray, form: str, fields: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if form in ("", "Z"):
        return np.full(len(rows), NO_ZONE if form == "" else 0, np.int16)
    digits = [column for column, sign in enumerate(form) if sign == "0"]
    hours, minutes = _number(signs, digits[:2]), _number(signs, digits[2:])
    offsets = (hours * 60 + minutes) * np.where(signs[:, 0] == ord("-"), -1, 1)
    _refuse_unless((np.abs(offsets) < DAY_MINUTES) & (minutes < 60), fields, rows)
    return offsets.astype(np.int16)


def _number(fields: np.ndarray, columns: list[int]) -> np.ndarray:
    number = np.zeros(len(fields), np.int64)
    for column in columns:
        number = number * 10 + (fields[:, column] - ord("0"))
    return number


def _refuse_unless(good: np.ndarray, fields: np.ndarray, rows: np.ndarray) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise _not_a_time(fields[row], rows[row])


def _not_a_time(field: np.ndarray | bytes, row: np.integer) -> RowDefect:
    if not len(field):
        return RowDefect(int(row), "the time is empty")
    return RowDefect(int(row), f"{_quoted(field)} is not a time in ISO 8601 or unix seconds")


def _quoted(field: np.ndarray | bytes) -> str:
    return repr(bytes(field[:40]).decode(errors="replace"))


def _spell(zone: np.integer) -> str:
    if zone == UNIX:
        return "unix time"
    return "without a time zone" if zone == NO_ZONE else f"{zone / 60:+g} h from UTC"
