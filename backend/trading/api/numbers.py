"""Serializer fields for amounts, prices, quantities and percentages: Decimals, written as JSON numbers."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from web.fields import NumberField

CENT = Decimal("0.01")
DIGITS, PLACES = 30, 12  # of a column of quantities or prices


class ExactField(NumberField):
    """A Decimal of any number of places up to 12, never rounded; written with at least `least_places` of them."""

    def __init__(self, least_places: int = 0, **options: Any) -> None:
        super().__init__(PLACES, max_digits=DIGITS, **options)
        self.least_places = least_places

    def to_representation(self, value: Decimal) -> Any:
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
    """A fraction of one, written in percent."""

    def to_representation(self, value: Any) -> Any:
        return (Decimal(repr(float(value))) * 100).quantize(CENT, ROUND_HALF_EVEN)


def with_places(value: Decimal, least: int) -> Decimal:
    """The same number without trailing zeros after the place `least`."""
    short = value.normalize()
    exponent = short.as_tuple().exponent
    return short.quantize(Decimal(1).scaleb(-least)) if not isinstance(exponent, int) or exponent > -least else short


def percent_of(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    """In percent, with two places; None when `whole` is zero."""
    return (100 * Decimal(part) / whole).quantize(CENT, ROUND_HALF_EVEN) if whole else None
