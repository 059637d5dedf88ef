"""Every error of the API has one shape: `{"detail": str, "code": str, "fields"?: {name: [str]}}`.

A view raises one of REST framework's exceptions or one of those below. An exception of another package becomes an
answer once its API says how (`trading.api.errors`): `answer_with(SourceDown, lambda error: Unavailable(str(error)))`.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from django.core import exceptions as django_errors
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.exceptions import APIException
from rest_framework.fields import get_error_detail
from rest_framework.response import Response
from rest_framework.views import set_rollback

logger = logging.getLogger(__name__)

Translation = Callable[[Any], APIException]
GENERAL = frozenset({"", "non_field_errors", "__all__"})  # messages about the whole input


class Conflict(APIException):
    """The request was understood and clashes with what is there."""

    status_code = 409
    default_detail = "This clashes with what is stored already."
    default_code = "conflict"


class BodyTooLarge(APIException):
    """The body is longer than DATA_UPLOAD_MAX_MEMORY_SIZE."""

    status_code = 413
    default_detail = "The body of the request is too large."
    default_code = "body_too_large"


class Unavailable(APIException):
    """A source that the answer needs is down; a retry may help after `wait` seconds."""

    status_code = 503
    default_detail = "A service that is needed for the answer is down."
    default_code = "unavailable"

    def __init__(self, detail: str | None = None, code: str | None = None, wait: int | None = None) -> None:
        super().__init__(detail, code)
        self.wait = wait


def answer_with(kind: type[Exception], translation: Translation) -> None:
    """Answer exceptions of this kind, and of the kinds derived from it, with what `translation` makes of them."""
    _translations[kind] = translation


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """The answer for an exception; None for a bug, which stays one: it is logged, and answered by `web.fallback`."""
    known = _as_api_error(error)
    if known is None:
        return None
    set_rollback()
    return Response(error_body(known), status=known.status_code, headers=_headers(known))


def error_body(error: APIException) -> dict[str, Any]:
    detail = error.detail
    if isinstance(detail, dict) and isinstance(detail.get("code"), str) and isinstance(detail.get("detail"), str):
        return {"detail": detail["detail"], "code": str(detail["code"])}  # the shape of simplejwt's exceptions
    general, fields = _sorted_out(detail)
    if not fields:
        return {"detail": str(general[0]), "code": general[0].code}
    name, messages = next(iter(fields.items()))
    text = str(general[0]) if general else f"{name}: {messages[0]}"
    return {"detail": text, "code": error.default_code, "fields": fields}


def _sorted_out(detail: Any) -> tuple[list[exceptions.ErrorDetail], dict[str, list[str]]]:
    general: list[exceptions.ErrorDetail] = []
    fields: dict[str, list[str]] = {}
    for name, message in _leaves(detail):
        if name in GENERAL:
            general.append(message)
        else:
            fields.setdefault(name, []).append(str(message))
    return general, fields


def _leaves(detail: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, exceptions.ErrorDetail]]:
    if isinstance(detail, dict):
        for name, below in detail.items():
            yield from _leaves(below, (*path, str(name)))
    elif isinstance(detail, list):
        for index, below in enumerate(detail):
            yield from _leaves(below, (*path, str(index)) if isinstance(below, dict) else path)
    else:
        yield ".".join(path), detail


def _headers(error: APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(wait)
    return headers


def _as_api_error(error: Exception) -> APIException | None:
    if isinstance(error, APIException):
        return error
    for kind in type(error).__mro__:
        if kind in _translations:
            return _translations[kind](error)
    return None


def _conflict(error: IntegrityError) -> APIException:
    # Logged with its traceback: a row that a service should have checked first looks the same as a lost race.
    logger.warning("the database refused a write", exc_info=error)
    return Conflict()


def _out_of_range(error: DataError) -> APIException:
    logger.warning("the database refused a value", exc_info=error)
    return exceptions.ValidationError("A value is too long or out of range.", "invalid")


def _database_down(error: Exception) -> APIException:
    logger.error("the database cannot be used", exc_info=error)
    return Unavailable("The database cannot be used at the moment.", "database_unavailable", wait=5)


def _malformed(_: Exception) -> APIException:
    return exceptions.ParseError()


_translations: dict[type[Exception], Translation] = {
    Http404: lambda error: exceptions.NotFound(),
    django_errors.PermissionDenied: lambda error: exceptions.PermissionDenied(),
    django_errors.ValidationError: lambda error: exceptions.ValidationError(get_error_detail(error)),
    django_errors.RequestDataTooBig: lambda error: BodyTooLarge(),
    django_errors.SuspiciousOperation: _malformed,
    django_errors.BadRequest: _malformed,
    UnreadablePostError: _malformed,
    IntegrityError: _conflict,
    DataError: _out_of_range,
    OperationalError: _database_down,
    InterfaceError: _database_down,
}
