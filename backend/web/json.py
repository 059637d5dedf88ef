"""JSON: strict parsing, and Decimals written as numbers with all their places."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import IO, Any

import msgspec
from django.utils.functional import Promise
from rest_framework import parsers, renderers
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

# Decimal keeps a price exact; NaN, Infinity and text that is not UTF-8 are refused.
_decoder = msgspec.json.Decoder(float_hook=Decimal)

PLAIN = frozenset({str, float, int, bool, type(None)})


def _unknown(value: Any) -> Any:
    if isinstance(value, str | Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON representation")


_encoder = msgspec.json.Encoder(enc_hook=_unknown)


def write_json(value: Any) -> bytes:
    """UTC times end in Z; NaN and infinities become null."""
    return _encoder.encode(_with_plain_numbers(value))


def _with_plain_numbers(value: Any) -> Any:
    # First: a page holds tens of thousands of them.
    if type(value) in PLAIN:
        return value
    # msgspec's own decimal_format="number" writes 0E-8 for 0.00000000, and NaN, which is not JSON.
    if isinstance(value, Decimal):
        return msgspec.Raw(format(value, "f").encode()) if value.is_finite() else None
    if isinstance(value, Mapping):
        return {str(key): _with_plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_plain_numbers(item) for item in value]
    return value


class JSONRenderer(renderers.JSONRenderer):
    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else write_json(data)


class JSONParser(parsers.JSONParser):
    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return _decoder.decode(stream.read())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ParseError(f"The body is not JSON: {error}") from error


class LenientNegotiation(DefaultContentNegotiation):
    """An Accept header without a supported type gets the default renderer, not a 406."""

    def select_renderer(
        self, request: Request, renderers: Iterable[renderers.BaseRenderer], format_suffix: str | None = None
    ) -> tuple[renderers.BaseRenderer, str]:
        accepted = {header.split(";")[0].strip() for header in self.get_accept_list(request)}
        choices = list(renderers)
        chosen = next((renderer for renderer in choices if renderer.media_type in accepted), choices[0])
        return chosen, chosen.media_type
