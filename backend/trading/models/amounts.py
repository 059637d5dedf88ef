"""The columns of money and quantities: Decimals with more places than any instrument uses, so none ever rounds."""

from decimal import Decimal
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


def money_column(**options: Any) -> Any:
    return models.DecimalField(max_digits=28, decimal_places=8, **options)


def quantity_column(**options: Any) -> Any:
    return models.DecimalField(max_digits=30, decimal_places=12, **options)


def fraction_column(default: str, **options: Any) -> Any:
    bounds = [MinValueValidator(Decimal("0.0001")), MaxValueValidator(1)]
    return models.DecimalField(
        max_digits=6, decimal_places=4, default=Decimal(default) if default else None, validators=bounds, **options
    )
