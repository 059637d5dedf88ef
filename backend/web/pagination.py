"""Pages of a list: `limit` (50, at most 500) and `offset`; a value out of range is a 400, not clamped."""

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request

LARGEST_OFFSET = 1_000_000_000


class Pages(LimitOffsetPagination):
    default_limit = 50
    max_limit = 500

    def get_limit(self, request: Request) -> int:
        return whole_number(request, "limit", self.default_limit, 1, self.max_limit)

    def get_offset(self, request: Request) -> int:
        return whole_number(request, "offset", 0, 0, LARGEST_OFFSET)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            _parameter("limit", "Number of rows.", self.default_limit, 1, self.max_limit),
            _parameter("offset", "Number of rows to skip.", 0, 0, LARGEST_OFFSET),
        ]


def whole_number(request: Request, name: str, default: int, lowest: int, highest: int) -> int:
    """The query parameter `name`; `default` when it is missing or empty."""
    text = request.query_params.get(name, "").strip()
    if not text:
        return default
    # isdecimal accepts digits of other scripts, and int() raises beyond 4300 digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= 12 and lowest <= int(text) <= highest):
        raise ValidationError({name: [f"Enter a whole number from {lowest} to {highest}."]})
    return int(text)


def _parameter(name: str, description: str, default: int, lowest: int, highest: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": lowest, "maximum": highest, "default": default}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
