"""The times of a CSV file, parsed a whole column at once from its bytes.

Times of equal length are laid side by side as a matrix of bytes and held against the forms that a time of that length
can have, byte by byte; only then does numpy convert them. This is some ten times as fast as parsing strings one by
one, and stricter: nothing that merely resembles a time gets through.
"""

from collections import defaultdict
from functools import lru_cache

import numpy as np

DATE = "0000-00-00"
CLOCKS = ("T00:00:00", "T00:00", "T00:00:00.000", "T00:00:00.000000")
ZONES = ("Z", "+00:00", "", "+0000", "+00")
WHOLE_SECONDS = DATE + CLOCKS[0]
UNIX_UNITS = {9: "s", 10: "s", 12: "ms", 13: "ms", 15: "us", 16: "us", 18: "ns", 19: "ns"}

EARLIEST, LATEST = np.datetime64("1900-01-01", "us"), np.datetime64("2200-01-01", "us")

# Zones are minutes east of UTC, or one of these, which lie a day away from every zone and from each other.
NO_ZONE, UNIX = 10_000, 20_000
DAYLIGHT_SAVING_MINUTES = 60
DAY_MINUTES = 24 * 60

ZEROS, TEN, BYTE, LOW_BYTE = (np.uint64(number) for number in (0x3030303030303030, 10, 8, 0xFF))

# The bytes that may stand where a form has a digit or a sign. The comma between + and - cannot stand in a field.
ALLOWED = {"0": ("0", "9"), "+": ("+", "-")}


class TimeDefect(Exception):
    """A time that cannot be used, at a row of the column that was given."""

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


def parse_times(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local times (datetime64[us]) and zones of the fields at starts..ends of a text given as bytes.

    Raises TimeDefect for the first field, in the order of lengths and rows, that is not a time.
    """
    lengths = ends - starts
    if (lengths == lengths[0]).all():
        return _parse_equal(text, starts, int(lengths[0]), np.arange(len(starts)))
    times, zones = np.empty(len(starts), "datetime64[us]"), np.empty(len(starts), np.int16)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        times[rows], zones[rows] = _parse_equal(text, starts[rows], int(length), rows)
    return times, zones


def utc_times(times: np.ndarray, zones: np.ndarray) -> np.ndarray:
    """The instants of local times; raises TimeDefect where times of one file do not belong together."""
    first = zones[0]
    if (zones == first).all():
        return times if first in (0, NO_ZONE, UNIX) else times - np.timedelta64(int(first), "m")
    strange = np.abs(zones - first) > DAYLIGHT_SAVING_MINUTES
    if strange.any():
        row = int(np.argmax(strange))
        raise TimeDefect(row, f"the time is {_spell(zones[row])}, but the first one is {_spell(first)}")
    return times - zones.astype("timedelta64[m]")


def _parse_equal(text: np.ndarray, starts: np.ndarray, length: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The times and zones of fields of one length; `rows` are their places in the column, for errors."""
    if length not in FORMS and length not in UNIX_UNITS:
        raise _not_a_time(text[starts[0] : starts[0] + length], rows[0])
    fields = np.lib.stride_tricks.sliding_window_view(text, length)[starts]
    if length in UNIX_UNITS and _within(fields[:1], "0" * length).all():
        times, zones = _parse_unix(fields, rows)
    else:
        times, zones = _parse_iso(fields, rows)
    outside = (times < EARLIEST) | (times >= LATEST)
    if outside.any():
        row = int(np.argmax(outside))
        raise TimeDefect(int(rows[row]), f"the time {_quoted(fields[row])} is outside 1900..2199")
    return times, zones


def _parse_unix(fields: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    length = fields.shape[1]
    _refuse_unless(_within(fields, "0" * length), fields, rows)
    numbers = (fields - ord("0")) @ (10 ** np.arange(length - 1, -1, -1, dtype=np.int64))
    times = numbers.astype(f"datetime64[{UNIX_UNITS[length]}]").astype("datetime64[us]")
    return times, np.full(len(rows), UNIX, np.int16)


def _parse_iso(fields: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    forms = FORMS.get(fields.shape[1])
    if not forms:
        raise _not_a_time(fields[0], rows[0])
    with_t = _with_t(fields)
    matches = [_within(with_t, local + zone) for local, zone in forms]
    best = int(np.argmax([match.sum() for match in matches]))
    _refuse_unless(matches[best], fields, rows)
    local, zone = forms[best]
    return _local_times(with_t[:, : len(local)], rows), _zones(fields[:, len(local) :], zone, fields, rows)


def _with_t(fields: np.ndarray) -> np.ndarray:
    """The fields with a T between date and clock where they have a space."""
    if fields.shape[1] == len(DATE) or (fields[:, len(DATE)] == ord("T")).all():
        return fields
    fields = fields.copy()
    fields[fields[:, len(DATE)] == ord(" "), len(DATE)] = ord("T")
    return fields


def _within(fields: np.ndarray, form: str) -> np.ndarray:
    """Which rows have at every place a byte that the form allows there."""
    # Flat: numpy starts anew with each row of a short array that it repeats.
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


def _local_times(fields: np.ndarray, rows: np.ndarray) -> np.ndarray:
    fields = np.ascontiguousarray(fields)
    times = _of_whole_seconds(fields) if fields.shape[1] == len(WHOLE_SECONDS) else None
    return _converted(fields, rows) if times is None else times


def _of_whole_seconds(fields: np.ndarray) -> np.ndarray | None:
    """Times of the form WHOLE_SECONDS; None where one does not exist. A date is converted once for its neighbours."""
    start, rest, clock = (_words(fields, offset) for offset in (0, 2, len(DATE) + 1))
    turns = np.flatnonzero((start[1:] != start[:-1]) | (rest[1:] != rest[:-1])) + 1
    heads = np.concatenate([[0], turns])
    try:
        days = fields[heads, : len(DATE)].copy().view(f"S{len(DATE)}").ravel().astype("datetime64[us]")
    except ValueError:
        return None
    # The digits of the clock, then in the first byte of each pair its number: HH in byte 0, MM in 3, SS in 6.
    clock = clock ^ ZEROS
    clock = clock * TEN + (clock >> BYTE)
    hours, minutes, seconds = ((clock >> np.uint64(8 * byte) & LOW_BYTE).astype(np.int64) for byte in (0, 3, 6))
    if hours.max() > 23 or minutes.max() > 59 or seconds.max() > 59:
        return None
    times = (hours * 3600 + minutes * 60 + seconds) * 1_000_000
    times += np.repeat(days.astype(np.int64), np.diff(heads, append=len(fields)))
    return times.view("datetime64[us]")


def _words(fields: np.ndarray, offset: int) -> np.ndarray:
    """Eight bytes of each row as one number."""
    return np.ndarray(len(fields), "<u8", fields, offset, strides=fields.strides[:1]).copy()


def _converted(fields: np.ndarray, rows: np.ndarray) -> np.ndarray:
    texts = fields.view(f"S{fields.shape[1]}").ravel()
    try:
        return texts.astype("datetime64[us]")
    except ValueError:
        # Month 13 or 30 February: numpy does not tell where.
        row = next(row for row, text in enumerate(texts) if not _exists(text))
        raise TimeDefect(int(rows[row]), f"{_quoted(fields[row])} does not exist in the calendar") from None


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


def _not_a_time(field: np.ndarray, row: np.integer) -> TimeDefect:
    if not len(field):
        return TimeDefect(int(row), "the time is empty")
    return TimeDefect(int(row), f"{_quoted(field)} is not a time in ISO 8601 or unix seconds")


def _quoted(field: np.ndarray) -> str:
    return repr(field[:40].tobytes().decode(errors="replace"))


def _spell(zone: np.integer) -> str:
    if zone == UNIX:
        return "unix time"
    return "without a time zone" if zone == NO_ZONE else f"{zone / 60:+g} h from UTC"
