import json
from collections.abc import Callable

import pytest
from django.core import exceptions as django_errors
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError
from django.http import Http404
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from web import errors
from web.errors import BodyTooLarge, Conflict, Unavailable, register_error


def ask(act: Callable[[], None]) -> Response:
    class View(APIView):
        authentication_classes = permission_classes = throttle_classes = ()

        def get(self, request):
            act()

    return View.as_view()(APIRequestFactory().get("/")).render()


def answer_to(error: Exception) -> Response:
    def fail() -> None:
        raise error

    return ask(fail)


def body_of(error: Exception) -> dict:
    return json.loads(answer_to(error).content)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.ValidationError("no"), 400, "invalid"),
        (exceptions.ValidationError("no", "unknown_symbol"), 400, "unknown_symbol"),
        (exceptions.ParseError(), 400, "parse_error"),
        (exceptions.NotAuthenticated(), 403, "not_authenticated"),  # 401 where the view has a way to authenticate
        (exceptions.PermissionDenied(), 403, "permission_denied"),
        (django_errors.PermissionDenied(), 403, "permission_denied"),
        (exceptions.NotFound(), 404, "not_found"),
        (Http404("No Trade matches the given query."), 404, "not_found"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (Conflict(), 409, "conflict"),
        (Conflict("Already running.", "already_running"), 409, "already_running"),
        (IntegrityError("UNIQUE constraint failed: secret_table.column"), 409, "conflict"),
        (ProtectedError("no", set()), 409, "conflict"),
        (BodyTooLarge(), 413, "body_too_large"),
        (django_errors.RequestDataTooBig(), 413, "body_too_large"),
        (django_errors.TooManyFieldsSent(), 400, "parse_error"),
        (django_errors.BadRequest(), 400, "parse_error"),
        (exceptions.UnsupportedMediaType("text/x"), 415, "unsupported_media_type"),
        (exceptions.Throttled(3.2), 429, "throttled"),
        (DataError("numeric field overflow"), 400, "invalid"),
        (Unavailable("Bybit is down.", "source_down"), 503, "source_down"),
        (OperationalError("connection to db.internal refused"), 503, "database_unavailable"),
        (InterfaceError("connection already closed"), 503, "database_unavailable"),
    ],
)
def test_an_error_has_its_status_and_code(error: Exception, status: int, code: str):
    answer = answer_to(error)
    body = json.loads(answer.content)
    assert (answer.status_code, body["code"]) == (status, code)
    assert isinstance(body["detail"], str)
    assert "secret" not in body["detail"]
    assert "db.internal" not in body["detail"]


def test_a_bug_stays_a_bug():
    with pytest.raises(ZeroDivisionError):
        answer_to(ZeroDivisionError())


@pytest.mark.parametrize(
    ("error", "wait"), [(exceptions.Throttled(3.2), "4"), (Unavailable(wait=30), "30"), (OperationalError(), "5")]
)
def test_it_says_when_to_retry(error: Exception, wait: str):
    assert answer_to(error)["Retry-After"] == wait


class Level(serializers.Serializer):
    price = serializers.FloatField()


class Plan(serializers.Serializer):
    name = serializers.CharField()
    levels = Level(many=True)

    def validate(self, attrs):
        raise serializers.ValidationError("The plan makes no sense.", "senseless")


def test_fields_are_named_by_their_path():
    plan = Plan(data={"levels": [{"price": 1}, {"price": "x"}]})
    body = json.loads(ask(lambda: plan.is_valid(raise_exception=True)).content)
    assert body == {
        "detail": "name: This field is required.",
        "code": "invalid",
        "fields": {"name": ["This field is required."], "levels.1.price": ["A valid number is required."]},
    }


def test_an_error_of_the_whole_input_is_no_field():
    plan = Plan(data={"name": "x", "levels": []})
    body = json.loads(ask(lambda: plan.is_valid(raise_exception=True)).content)
    assert body == {"detail": "The plan makes no sense.", "code": "senseless"}


def test_validation_errors_of_django_look_the_same():
    error = django_errors.ValidationError({"limit": ["Too high."], "__all__": ["Contradictory."]})
    assert body_of(error) == {"detail": "Contradictory.", "code": "invalid", "fields": {"limit": ["Too high."]}}
    assert body_of(django_errors.ValidationError("Bad.", code="bad")) == {"detail": "Bad.", "code": "bad"}


class SourceError(Exception):
    pass


class SourceTimeout(SourceError):
    pass


def test_an_app_says_how_its_exceptions_are_answered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(errors, "_translations", dict(errors._translations))
    register_error(SourceError, lambda error: Unavailable(str(error), "source_down"))
    assert body_of(SourceTimeout("Bybit timed out.")) == {"detail": "Bybit timed out.", "code": "source_down"}
