"""Serializer fields for numbers. For a model's DecimalField ModelSerializer already keeps the places."""

import math
from typing import Any

from rest_framework import serializers

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
