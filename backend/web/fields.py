"""Serializer fields for numbers, and validation. ModelSerializer already keeps the places of a DecimalField."""

import math
from typing import Any

from rest_framework import serializers
from rest_framework.serializers import BaseSerializer

MAX_DIGITS = 20


class NumberField(serializers.DecimalField):
    """A Decimal with `places` after the point, written as a JSON number."""

    def __init__(self, places: int, **options: Any) -> None:
        super().__init__(max_digits=options.pop("max_digits", MAX_DIGITS), decimal_places=places, **options)


class MoneyField(NumberField):
    def __init__(self, **options: Any) -> None:
        super().__init__(places=2, **options)


class FiniteFloatField(serializers.FloatField):
    """A finite float: FloatField itself accepts "nan", "inf" and 1e999."""

    def to_internal_value(self, data: Any) -> float:
        number: float = super().to_internal_value(data)
        if not math.isfinite(number):
            self.fail("invalid")
        return number


def checked(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    """The validated data. Raises REST framework's ValidationError."""
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    return data
