"""The schema is complete, and the API keeps to it whatever is sent."""

import json
from collections.abc import Iterator

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.tokens import issue_tokens
from config.wsgi import application
from tests.api import api_client, make_user
from web.json import write_json

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture
def document(db) -> dict:
    return api_client().get("/api/schema/", HTTP_ACCEPT="application/json").json()


def test_it_is_made_without_a_warning(tmp_path):
    call_command("spectacular", fail_on_warn=True, validate=True, file=str(tmp_path / "schema.yaml"))
    assert "/api/trading/run-cycle/:" in (tmp_path / "schema.yaml").read_text()


def test_every_operation_names_its_errors(document: dict):
    open_to_all = {"/api/auth/register/", "/api/health/", "/api/health/ready/"}
    operations = [(path, method) for path, item in document["paths"].items() for method in item]
    assert ("/api/auth/me/", "patch") in operations
    for path, method in operations:
        answers = document["paths"][path][method]["responses"]
        assert ("401" in answers) is (path not in open_to_all), path
        assert ("429" in answers) is ("/health/" not in path), path
        assert {"400", "413", "415"} <= set(answers) or "requestBody" not in document["paths"][path][method]


def test_all_errors_have_one_schema(document: dict):
    assert set(document["components"]["schemas"]["Error"]["properties"]) == {"detail", "code", "fields"}
    answer = document["paths"]["/api/auth/login/"]["post"]["responses"]["429"]
    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
    assert "Retry-After" in answer["headers"]


def test_the_page_needs_no_network(client):
    page = client.get("/api/docs/").content.decode()
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.fixture
def one_transaction(db) -> Iterator[None]:
    """As Django's own test client does it: a request must not close the connection that the test runs in."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def bearer(one_transaction, settings, unthrottled, quick_passwords) -> dict[str, str]:
    settings.ALLOWED_HOSTS = ["*"]
    return {"Authorization": f"Bearer {issue_tokens(make_user()).access}"}


# Through JSON, as it is served: the generator leaves Decimals in it.
api = schemathesis.openapi.from_dict(json.loads(write_json(SchemaGenerator().get_schema(public=True))))
api.app = application


@api.parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_it(case, bearer: dict[str, str]):
    case.call_and_validate(headers=bearer, checks=CHECKS)
