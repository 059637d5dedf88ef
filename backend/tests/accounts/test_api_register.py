import pytest
from django.db import IntegrityError
from django.db.models.signals import post_save

from accounts.models import User
from tests.api import PASSWORD, api_client, problem, register, with_token

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]


def test_it_creates_a_user_and_logs_in():
    answer = register("Ada@EXAMPLE.com", full_name="Ada Lovelace")
    assert answer.status_code == 201
    body = answer.json()
    user = User.objects.get()
    assert body["user"] == {
        "id": user.pk,
        "email": "Ada@example.com",
        "full_name": "Ada Lovelace",
        "date_joined": user.date_joined.isoformat().replace("+00:00", "Z"),
    }
    assert with_token(api_client(), body["access"]).get("/api/auth/me/").json() == body["user"]
    assert user.check_password(PASSWORD)
    assert PASSWORD not in answer.content.decode()


def test_the_name_may_be_left_out():
    assert register().json()["user"]["full_name"] == ""


def test_a_common_password_is_refused_with_the_reason():
    answer = register(password="password123")
    assert problem(answer) == (400, "invalid")
    assert answer.json()["fields"] == {"password": ["This password is too common."]}
    assert not User.objects.exists()


def test_all_reasons_against_a_password_are_given():
    reasons = register("wonderland@example.com", "123").json()["fields"]["password"]
    assert len(reasons) == 3


def test_a_password_like_the_email_is_refused():
    assert "too similar" in register("wonderland@example.com", "wonderland1").json()["fields"]["password"][0]


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@EXAMPLE.COM", "  aDa@example.com "])
def test_an_email_can_be_used_once_in_any_case(email: str):
    register("Ada@example.com")
    answer = register(email)
    assert problem(answer) == (400, "invalid")
    assert answer.json()["fields"] == {"email": ["A user with this e-mail already exists."]}
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": PASSWORD}, "email"),
        ({"email": "", "password": PASSWORD}, "email"),
        ({"email": "ada", "password": PASSWORD}, "email"),
        ({"email": ["a@b.cc"], "password": PASSWORD}, "email"),
        ({"email": f"{'a' * 250}@example.com", "password": PASSWORD}, "email"),
        ({"email": "ada@example.com"}, "password"),
        ({"email": "ada@example.com", "password": None}, "password"),
        ({"email": "ada@example.com", "password": "a\0b" * 9}, "password"),
        ({"email": "ada@example.com", "password": "x1" * 1000}, "password"),
        ({"email": "ada@example.com", "password": PASSWORD, "full_name": "x" * 151}, "full_name"),
        ({"email": "ada@example.com", "password": PASSWORD, "full_name": None}, "full_name"),
    ],
)
def test_bad_input_is_named(body: dict, field: str):
    answer = api_client().post("/api/auth/register/", body)
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == [field]


def test_spaces_are_part_of_a_password():
    register(password=f" {PASSWORD} ")
    assert User.objects.get().check_password(f" {PASSWORD} ")


def test_rights_cannot_be_asked_for():
    register(is_staff=True, is_superuser=True)
    assert not User.objects.filter(is_staff=True).exists()


def test_a_failing_receiver_leaves_no_half_made_user():
    def refuse(created: bool, **_) -> None:
        raise IntegrityError("no account for you")

    post_save.connect(refuse, sender=User)
    try:
        assert problem(register()) == (409, "conflict")
    finally:
        post_save.disconnect(refuse, sender=User)
    assert not User.objects.exists()
