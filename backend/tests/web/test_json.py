import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.utils.functional import lazystr
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ErrorDetail, ParseError

from tests.api import api_client, make_user, problem
from web.fields import FiniteFloatField, MoneyField, NumberField
from web.json import JSONParser, write_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("88500.00"), "88500.00"),
        (Decimal("0.00000000"), "0.00000000"),
        (Decimal("1E-8"), "0.00000001"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.10"), "-0.10"),
        (Decimal("NaN"), "null"),
        (Decimal("Infinity"), "null"),
        (float("nan"), "null"),
        (float("-inf"), "null"),
        (0.1, "0.1"),
        (datetime(2026, 11, 20, 9, 30, tzinfo=UTC), '"2026-11-20T09:30:00Z"'),
        (date(2026, 11, 20), '"2026-11-20"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (lazystr("lazy"), '"lazy"'),
        (ErrorDetail("no", "code"), '"no"'),
        ({"a": (Decimal("1.50"), None, True), 2: "é"}, '{"a":[1.50,null,true],"2":"é"}'),
    ],
)
def test_a_value_is_written(value, text: str):
    assert write_json(value).decode() == text


def test_an_unknown_type_is_a_bug():
    with pytest.raises(TypeError, match="object has no JSON representation"):
        write_json(object())


def parse(body: bytes):
    return JSONParser().parse(io.BytesIO(body))


def test_a_price_arrives_as_it_was_written():
    price = parse(b'{"price": 88588.500000000000001}')["price"]
    assert price == Decimal("88588.500000000000001")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"NaN", b"[Infinity]", b"-Infinity", b"{'a': 1}", b'"\xff"', b'"\\ud800"', b"1 2", b"9" * 5000],
)
def test_what_is_not_json_is_refused(body: bytes):
    with pytest.raises(ParseError, match="not JSON"):
        parse(body)


def test_deep_nesting_is_refused():
    with pytest.raises(ParseError, match="not JSON"):
        parse(b"[" * 100_000)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(), st.lists))
def test_what_is_written_can_be_read(value):
    assert parse(write_json(value)) == value == json.loads(write_json(value))


@pytest.mark.parametrize(
    ("field", "data", "text"),
    [
        (MoneyField(), 10000, "10000.00"),
        (MoneyField(), "0.1", "0.10"),
        (NumberField(places=8), Decimal(0), "0.00000000"),
    ],
)
def test_a_number_has_its_declared_places(field, data, text: str):
    assert write_json(field.to_representation(field.run_validation(data))).decode() == text


@pytest.mark.parametrize("data", ["NaN", "Infinity", "x", "", None, [], {}, True, "1e99999", "1.001", Decimal("1e40")])
def test_an_amount_of_money_that_is_none_is_refused(data):
    with pytest.raises(Exception, match=r"valid|digits|decimal places|null"):
        MoneyField().run_validation(data)


@pytest.mark.parametrize("data", ["nan", "inf", "-Infinity", Decimal("1e999"), "x", None])
def test_a_float_is_a_number(data):
    with pytest.raises(Exception, match=r"valid number|null"):
        FiniteFloatField().run_validation(data)


@pytest.mark.django_db
def test_a_large_body_is_413():
    answer = api_client(make_user()).patch("/api/auth/me/", {"full_name": "x" * 1_000_001})
    assert problem(answer) == (413, "body_too_large")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "a", "a/b/c", "multipart/x"]
)
def test_another_content_type_is_415(content_type: str):
    answer = api_client().post("/api/auth/login/", "email=x", content_type=content_type)
    assert problem(answer) == (415, "unsupported_media_type")


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/xml;q=0.9, text/*", ";;;", ""])
def test_whatever_is_accepted_gets_json(accept: str):
    answer = api_client(make_user()).get("/api/auth/me/", HTTP_ACCEPT=accept)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
