"""Sums of money over rows."""

from typing import Any

from django.db.models import F, Sum
from django.db.models.functions import Coalesce, Round

from engine.orders import ZERO

# Of every money column. SQLite adds in floats, and 0.96 comes out as 0.959999999999999.
PLACES = 8


def total(field: str, **options: Any) -> Round:
    """The sum of a money column, zero over no rows, exact on both databases."""
    return Round(Coalesce(Sum(F(field), **options), ZERO), precision=PLACES)
