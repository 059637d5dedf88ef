"""JSON in which a Decimal is a number, digit for digit, on the way out and on the way in."""

import json
from decimal import Decimal
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(decimal_format="number")


def exact_json(value: Any) -> str:
    return _encoder.encode(value).decode()


class JsonText(str):
    """Text that is JSON already, to be stored as it is."""

    __slots__ = ()


class ExactEncoder(json.JSONEncoder):
    """For Django's JSONField."""

    def encode(self, o: Any) -> str:
        return o if isinstance(o, JsonText) else exact_json(o)


class ExactDecoder(json.JSONDecoder):
    """Reads numbers with a point as Decimals, so that what was stored exactly comes back exactly."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "parse_float": Decimal})
