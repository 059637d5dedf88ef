"""Every address: who may use it, and what is answered where there is none."""

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize

from config.wsgi import application
from tests.api import api_client, make_user, problem

OPEN = {
    "/api/auth/register/",
    "/api/auth/login/",
    "/api/auth/refresh/",
    "/api/health/",
    "/api/health/ready/",
    "/api/schema/",
    "/api/docs/",
    "/api/",  # the answer to unknown addresses
}
METHODS = ["get", "post", "put", "patch", "delete"]


def addresses(patterns=None, prefix: str = "/") -> Iterator[str]:
    for entry in patterns or get_resolver().url_patterns:
        route = prefix + str(entry.pattern).removeprefix("^").removesuffix(r"\Z").removesuffix("$")
        if isinstance(entry, URLResolver):
            yield from addresses(entry.url_patterns, route)
        elif isinstance(entry, URLPattern):
            yield route


def example(route: str) -> str:
    """An address that the route matches: 1 in the place of every parameter."""
    text, _ = normalize(re.sub(r"<[^>]+>", "1", route))[0]
    return text


def test_the_walk_finds_the_addresses():
    assert {"/api/auth/me/", "/api/auth/logout/", "/metrics", *OPEN} <= set(addresses())


@pytest.mark.django_db
@pytest.mark.parametrize("route", sorted({route for route in addresses() if route.startswith("/api/")} - OPEN))
def test_it_needs_an_access_token(route: str):
    client = api_client()
    statuses = {getattr(client, method)(example(route)).status_code for method in METHODS}
    assert statuses == {401}


@pytest.mark.parametrize(
    ("address", "hint"),
    [("/api/", ""), ("/api/nothing/", ""), ("/api/auth/", ""), ("/api/auth/login", "slash"), ("/api/%00", "slash")],
)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("debug", [True, False])
def test_no_address_is_a_404_in_json(settings, address: str, hint: str, method: str, debug: bool):
    settings.DEBUG = debug
    client = Client(enforce_csrf_checks=True)
    answer = getattr(client, method)(address)
    assert problem(answer) == (404, "not_found")
    assert hint in answer.json()["detail"]


@pytest.mark.django_db
def test_a_page_outside_the_api_has_djangos_404(client: Client):
    answer = client.get("/nothing/")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


@pytest.mark.django_db
def test_a_bug_is_a_500_in_json_that_tells_nothing(monkeypatch: pytest.MonkeyPatch):
    def fail(*_) -> None:
        raise ZeroDivisionError("the secret")

    monkeypatch.setattr("accounts.api.views.UserSerializer", fail)
    client = api_client(make_user())
    client.raise_request_exception = False
    answer = client.get("/api/auth/me/")
    assert problem(answer) == (500, "error")
    assert b"secret" not in answer.content


def test_a_host_that_is_not_ours_is_400_in_json(client: Client):
    answer = client.get("/api/health/", headers={"host": "evil.example"})
    assert problem(answer) == (400, "parse_error")


@pytest.mark.parametrize("charset", ["rot13", "zlib", "no-such", "é"])
def test_a_charset_that_is_none_is_415(charset: str):
    answers = []
    environ = {"CONTENT_TYPE": f"application/json; charset={charset}", "QUERY_STRING": "a=%41"}
    body = b"".join(application(environ, lambda status, headers: answers.append(status)))
    assert answers == ["415 Unsupported Media Type"]
    assert b"unsupported_media_type" in body


@pytest.mark.parametrize(("origin", "allowed"), [("https://app.example.com", True), ("https://evil.example", False)])
def test_only_listed_origins_may_call(settings, client: Client, origin: str, allowed: bool):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    asking = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    preflight = client.options("/api/auth/me/", headers=asking)
    assert preflight.status_code == 200
    assert (preflight.headers.get("access-control-allow-origin") == origin) is allowed
    assert "access-control-allow-credentials" not in preflight.headers


def test_probes_are_not_redirected_to_https(settings, client: Client):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/api/health/").status_code == 200
    assert client.get("/api/auth/me/").status_code == 301
