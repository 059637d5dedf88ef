"""Validated request bodies and query parameters."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer

from web.fields import NumberField, checked
from web.filters import LARGEST_ID


class WholeNumberField(serializers.IntegerField):
    """A JSON integer: not "5", true or 5.0."""

    def __init__(self, lowest: int, highest: int, **options: Any) -> None:
        super().__init__(min_value=lowest, max_value=highest, **options)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class IdField(WholeNumberField):
    def __init__(self, **options: Any) -> None:
        super().__init__(1, LARGEST_ID, **options)


class StrictNumberField(NumberField):
    """A Decimal between two bounds, from a JSON number: not "0.5" or true."""

    def __init__(self, places: int, lowest: str, highest: str, **options: Any) -> None:
        super().__init__(places, min_value=Decimal(lowest), max_value=Decimal(highest), **options)

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        # DecimalField reads an empty string as null.
        if data == "":
            self.fail("invalid")
        return super().validate_empty_values(data)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, int | Decimal):
            self.fail("invalid")
        number: Decimal = super().to_internal_value(data)
        return number


class TrueOrFalseField(serializers.BooleanField):
    """JSON true or false: not "yes", "t" or 1."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class TextField(serializers.CharField):
    """A JSON string: not a number."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class SymbolQuery(serializers.Serializer[Any]):
    symbol = serializers.CharField(
        required=False, max_length=40, help_text="A followed symbol. Default: the symbol of the settings."
    )


def body(kind: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    return checked(kind(data=request.data))


def query(kind: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    """The query parameters; an empty one is treated as missing."""
    return checked(kind(data={name: value for name, value in request.query_params.items() if str(value).strip()}))
