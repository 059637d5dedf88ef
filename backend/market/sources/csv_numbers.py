"""The numbers of a CSV file, parsed a whole block at once from its bytes.

A plain decimal of up to 15 digits is a whole number, below 2^53 and so exact in a double, divided by a power of ten
that is exact too: the quotient is the double nearest to what was written, as a slow parser would find it. Eight digits
are read in one 64-bit word, whose bytes, pairs and fours are added up in three multiplications (the method of Daniel
Lemire, "Quickly parsing eight digits", 2018). Every other form of a number is left to pandas.
"""

import re

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.intp]
Words = npt.NDArray[np.uint64]

DOT = ord(".")
WORD, MOST_DIGITS = 8, 15
# Of a block; each takes as long as some fifty others.
MOST_SINGLES = 200
NONE = np.empty(0, np.intp)
PLAIN = re.compile(rb"[0-9]+\.?[0-9]*|\.[0-9]+")
# Before the text, so that a word of sixteen digits may end at its first byte.
PADDING = b"0" * (2 * WORD)

POWERS = 10.0 ** np.arange(MOST_DIGITS + 1)
# The last so many bytes of a word; its first byte is the least significant one.
LAST_BYTES = np.array([(2**64 - 1) ^ (2 ** (64 - 8 * count) - 1) for count in range(WORD + 1)], np.uint64)
ZEROS, ABOVE_NINE, HIGH_BITS = (np.uint64(byte * 0x0101010101010101) for byte in (0x30, 0x76, 0x80))
BYTES, PAIRS, FOURS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00000000FFFFFFFF)
STEPS = [
    (np.uint64(factor), np.uint64(shift), lanes)
    for factor, shift, lanes in ((10, 8, BYTES), (100, 16, PAIRS), (10_000, 32, FOURS))
]
EIGHT_DIGITS, SHIFT = np.uint64(10**WORD), np.uint64(8)


def parse_plain(text: bytes, starts: Positions, dots: Positions, ends: Positions) -> npt.NDArray[np.float64] | None:
    """The numbers of columns x rows fields at starts..ends, whose dots are at `dots`, or at their ends without one.

    None where a field is not a plain decimal, or where many of them are too long.
    """
    words = np.ndarray(len(PADDING) + len(text) - WORD + 1, "<u8", PADDING + text, strides=(1,))
    numbers = np.empty(starts.shape)
    for column, places in enumerate(zip(starts, dots, ends, strict=True)):
        found = _column(words, text, *places)
        if found is None:
            return None
        numbers[column] = found
    return numbers


def _column(
    words: Words, text: bytes, starts: Positions, dots: Positions, ends: Positions
) -> npt.NDArray[np.float64] | None:
    places = ends - dots
    digits = ends - starts
    digits -= places > 0
    places -= places > 0
    if not (digits.min() >= 1 and digits.max() <= MOST_DIGITS):
        return _with_singles(words, text, starts, dots, ends, (digits < 1) | (digits > MOST_DIGITS))
    if digits.max() < WORD:
        # The dot is in the same word as all digits: those before it move into its place.
        word = words[ends + (len(PADDING) - WORD)]
        behind = LAST_BYTES[places]
        word = np.where(dots < ends, (word & behind) | (word << SHIFT & ~behind), word)
        numbers = _sums(word, digits)
        return None if numbers is None else numbers.astype(np.float64) / POWERS[places]
    before, after = _whole(words, dots, digits - places), _whole(words, ends, places)
    if before is None or after is None:
        return None
    powers = POWERS[places]
    before *= powers
    before += after
    before /= powers
    return before


def _with_singles(
    words: Words, text: bytes, starts: Positions, dots: Positions, ends: Positions, odd: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64] | None:
    """The same, where some fields are too long: these are read one by one."""
    singles = np.flatnonzero(odd).tolist()
    fields = [text[start:end] for start, end in zip(starts[odd].tolist(), ends[odd].tolist(), strict=True)]
    if len(singles) > MOST_SINGLES or not all(map(PLAIN.fullmatch, fields)):
        return None
    numbers = np.empty(len(starts))
    numbers[odd] = [float(field) for field in fields]
    if len(singles) < len(starts):
        rest = _column(words, text, starts[~odd], dots[~odd], ends[~odd])
        if rest is None:
            return None
        numbers[~odd] = rest
    return numbers


def _whole(words: Words, ends: Positions, lengths: Positions) -> npt.NDArray[np.float64] | None:
    """The whole numbers of up to 15 digits that end there; None where something else than a digit is among them."""
    numbers = _sums(words[ends + (len(PADDING) - WORD)], np.minimum(lengths, WORD))
    if numbers is None:
        return None
    long = np.flatnonzero(lengths > WORD) if lengths.max() > WORD else NONE
    if len(long):
        higher = _sums(words[ends[long] + (len(PADDING) - 2 * WORD)], lengths[long] - WORD)
        if higher is None:
            return None
        numbers[long] += higher * EIGHT_DIGITS
    return numbers.astype(np.float64)


def _sums(word: Words, lengths: Positions) -> Words | None:
    """The numbers that the last digits of words are; the words are used up."""
    word ^= ZEROS
    word &= LAST_BYTES[lengths]
    strange = word + ABOVE_NINE
    strange |= word
    if np.bitwise_or.reduce(strange, axis=None) & HIGH_BITS:
        return None
    for factor, shift, lanes in STEPS:
        np.right_shift(word, shift, out=strange)
        word *= factor
        word += strange
        word &= lanes
    return word
