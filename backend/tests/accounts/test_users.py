import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import HttpRequest

from accounts.models import User, user_by_email

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("Ada@Example.com", PASSWORD, full_name="Ada Lovelace")


def test_it_keeps_the_spelling_but_trims_and_lowers_the_domain():
    user = User.objects.create_user("  Ada@EXAMPLE.com \n", PASSWORD)
    assert user.email == "Ada@example.com"
    assert str(user) == "Ada@example.com"


@pytest.mark.parametrize("email", ["", "   "])
def test_it_refuses_an_empty_email(email: str):
    with pytest.raises(ValueError, match="needs an e-mail"):
        User.objects.create_user(email, PASSWORD)


def test_the_database_refuses_the_same_email_in_another_case(ada: User):
    with pytest.raises(IntegrityError):
        User.objects.create_user("aDA@example.com", PASSWORD)


def test_the_database_refuses_an_untrimmed_email():
    with pytest.raises(IntegrityError):
        User.objects.bulk_create([User(email=" ada@example.com", password="!")])


def test_validation_names_the_duplicate(ada: User):
    with pytest.raises(ValidationError, match="already exists"):
        User(email="ADA@EXAMPLE.com", password="!").full_clean()


@pytest.mark.parametrize("email", ["Ada@example.com", "ada@example.com", " ADA@EXAMPLE.COM "])
def test_it_finds_and_logs_in_a_user_in_any_case(ada: User, email: str):
    assert user_by_email(email) == ada
    assert User.objects.get_by_natural_key(email) == ada
    assert authenticate(HttpRequest(), username=email, password=PASSWORD) == ada


def test_it_finds_nobody(ada: User):
    assert user_by_email("bob@example.com") is None
    assert authenticate(HttpRequest(), username="bob@example.com", password=PASSWORD) is None
    assert authenticate(HttpRequest(), username=ada.email, password="wrong") is None


def test_an_email_with_pattern_characters_is_taken_literally(ada: User):
    assert user_by_email("a%@example.com") is None
    assert user_by_email("_da@example.com") is None


def test_an_inactive_user_cannot_log_in(ada: User):
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert authenticate(HttpRequest(), username=ada.email, password=PASSWORD) is None


def test_passwords_are_hashed_with_argon2(ada: User):
    assert ada.password.startswith("argon2$argon2id$")


def test_a_user_without_a_password_cannot_log_in():
    user = User.objects.create_user("bot@example.com")
    assert not user.has_usable_password()


def test_a_superuser_has_all_rights():
    root = User.objects.create_superuser("root@example.com", PASSWORD)
    assert root.is_staff
    assert root.is_superuser
    assert root.has_perm("accounts.delete_user")


def test_an_ordinary_user_has_no_rights(ada: User):
    assert not ada.is_staff
    assert not ada.has_perm("accounts.view_user")
