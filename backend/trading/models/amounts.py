"""Columns of amounts: Decimals with more places than any instrument uses, so that none is ever rounded."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, overload

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.expressions import Combinable

if TYPE_CHECKING:
    Amount = models.DecimalField[Decimal | float | str | Combinable, Decimal]
    OptionalAmount = models.DecimalField[Decimal | float | str | Combinable | None, Decimal | None]


@overload
def money_column(*, null: Literal[True], **options: Any) -> "OptionalAmount": ...
@overload
def money_column(*, null: Literal[False] = False, **options: Any) -> "Amount": ...
def money_column(**options: Any) -> Any:
    return models.DecimalField(max_digits=28, decimal_places=8, **options)


@overload
def quantity_column(*, null: Literal[True], **options: Any) -> "OptionalAmount": ...
@overload
def quantity_column(*, null: Literal[False] = False, **options: Any) -> "Amount": ...
def quantity_column(**options: Any) -> Any:
    return models.DecimalField(max_digits=30, decimal_places=12, **options)


@overload
def fraction_column(default: str, *, null: Literal[True], **options: Any) -> "OptionalAmount": ...
@overload
def fraction_column(default: str, *, null: Literal[False] = False, **options: Any) -> "Amount": ...
def fraction_column(default: str, **options: Any) -> Any:
    bounds = [MinValueValidator(Decimal("0.0001")), MaxValueValidator(1)]
    return models.DecimalField(
        max_digits=6, decimal_places=4, default=Decimal(default) if default else None, validators=bounds, **options
    )
