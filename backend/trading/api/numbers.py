"""Numbers of the books: exact, in the places that people expect, and in more only where there are more."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from web.fields import NumberField

CENT = Decimal("0.01")
DIGITS, PLACES = 30, 12  # what a column of quantities or prices holds


class ExactField(NumberField):
    """A Decimal of any number of places up to 12, never rounded; written with at least `least_places` of them."""

    def __init__(self, least_places: int = 0, **options: Any) -> None:
        super().__init__(PLACES, max_digits=DIGITS, **options)
        self.least_places = least_places

    def to_representation(self, value: Decimal) -> Decimal:
        return with_places(value, self.least_places)


class AmountField(ExactField):
    """Money or a price: two places, and more where the currency or the tick has them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(2, **options)


class PercentField(NumberField):
    """A percentage with two places."""

    def __init__(self, **options: Any) -> None:
        super().__init__(2, **options)


class ShareField(PercentField):
    """A fraction of one, written as a percentage."""

    def to_representation(self, value: float) -> Decimal:
        return share(value)


def share(fraction: float) -> Decimal:
    """A fraction of one in percent, with two places."""
    return (Decimal(repr(float(fraction))) * 100).quantize(CENT, ROUND_HALF_EVEN)


def amount(value: Decimal | None) -> Decimal | None:
    """Money or a price as AmountField writes it."""
    return None if value is None else with_places(value, 2)


def with_places(value: Decimal, least: int) -> Decimal:
    """The same number without trailing zeros behind the place `least`."""
    short = value.normalize()
    exponent = short.as_tuple().exponent
    return short.quantize(Decimal(1).scaleb(-least)) if not isinstance(exponent, int) or exponent > -least else short


def percent_of(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    """With two places; None where there is no whole to have a part of."""
    return (100 * Decimal(part) / whole).quantize(CENT, ROUND_HALF_EVEN) if whole else None
