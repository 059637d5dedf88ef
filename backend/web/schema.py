"""OpenAPI: every operation is documented with its error responses."""

from collections.abc import Iterator
from typing import Any, Literal

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAuthenticated

MEANING = {
    400: "The input is invalid; `fields` holds the messages.",
    401: "The access token is missing, expired or revoked, or the credentials are wrong.",
    403: "Not allowed for this user.",
    404: "There is no such row, or it belongs to another user.",
    409: "The request conflicts with stored data.",
    413: "The body is too large.",
    415: "The body is not `application/json`.",
    429: "Too many requests; `Retry-After` gives the seconds to wait.",
    503: "A required source is down.",
}
RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}


class ErrorSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="What went wrong, in English.")
    code = serializers.CharField(help_text="Stable code of the kind of error.")
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Messages for each invalid field of the input.",
    )


class ApiSchema(AutoSchema):
    """Adds the error responses that follow from a view's settings.

    The view names the others: `error_statuses = (409, 503)`, or by action `action_error_statuses = {"create": (409,)}`.
    """

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        answers: dict[str, Any] = super()._get_response_bodies(direction)
        for status in sorted(set(self._error_statuses())):
            answers.setdefault(str(status), self._error_answer(status))
        return answers

    def _error_answer(self, status: int) -> dict[str, Any]:
        described = OpenApiResponse(ErrorSerializer, MEANING[status])
        answer: dict[str, Any] = self._get_response_for_code(described, str(status), ["application/json"])
        return answer | {"headers": RETRY_AFTER} if status in (429, 503) else answer

    def _error_statuses(self) -> Iterator[int]:
        by_action = getattr(self.view, "action_error_statuses", {})
        yield from by_action.get(getattr(self.view, "action", None), getattr(self.view, "error_statuses", ()))
        permissions = {type(permission) for permission in self.view.get_permissions()}
        if IsAuthenticated in permissions:
            yield 401
        if permissions - {IsAuthenticated, AllowAny}:
            yield 403
        if "{" in self.path:
            yield 404
        if self.view.get_throttles():
            yield 429
        yield from self._input_errors()

    def _input_errors(self) -> Iterator[int]:
        if self._get_request_body():
            yield from (400, 413, 415)
        elif any(parameter["in"] == "query" for parameter in self._get_parameters()):
            yield 400
