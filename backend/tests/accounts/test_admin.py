import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


@pytest.fixture
def admin_pages(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root@example.com", PASSWORD))
    return client


def test_the_list_and_the_forms_open(admin_pages: Client):
    user = User.objects.get()
    addresses = [
        reverse("admin:accounts_user_changelist") + "?q=root",
        reverse("admin:accounts_user_add"),
        reverse("admin:accounts_user_change", args=[user.pk]),
        reverse("admin:auth_user_password_change", args=[user.pk]),
    ]
    assert [admin_pages.get(address).status_code for address in addresses] == [200] * 4


def add_user(pages: Client, email: str):
    form = {"email": email, "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    return pages.post(reverse("admin:accounts_user_add"), form)


def test_it_adds_a_user_with_a_tidy_email(admin_pages: Client):
    assert add_user(admin_pages, " Ada@EXAMPLE.com ").status_code == 302
    assert User.objects.get(email="Ada@example.com").check_password(PASSWORD)


def test_it_shows_a_duplicate_email_as_an_error_of_the_form(admin_pages: Client):
    answer = add_user(admin_pages, "ROOT@example.com")
    assert answer.status_code == 200
    assert "already exists" in answer.content.decode()


def test_the_admin_login_takes_an_email_in_any_case(client: Client):
    User.objects.create_superuser("root@example.com", PASSWORD)
    form = {"username": "Root@Example.com", "password": PASSWORD}
    assert client.post(reverse("admin:login"), form).status_code == 302
