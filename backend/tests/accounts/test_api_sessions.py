"""Refresh, logout, password: how long tokens live."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from rest_framework.test import APIClient
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import User
from accounts.tokens import SessionToken, Tokens, issue_tokens, renew_tokens
from tests.api import PASSWORD, api_client, log_in, make_user, problem, refresh, with_token

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]

NEW_PASSWORD = "staple battery horse"


@pytest.fixture
def ada() -> User:
    return make_user("ada@example.com")


@pytest.fixture
def tokens(ada: User) -> Tokens:
    return issue_tokens(ada)


def me(access: str):
    return with_token(APIClient(), access).get("/api/auth/me/")


def change_password(client: APIClient, old: str = PASSWORD, new: str = NEW_PASSWORD):
    return client.post("/api/auth/password/", {"old_password": old, "new_password": new})


def test_a_refresh_gives_a_new_pair_and_works_once(tokens: Tokens):
    answer = refresh(tokens.refresh)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access", "refresh"}
    assert body["refresh"] != tokens.refresh
    assert me(body["access"]).status_code == 200
    assert problem(refresh(tokens.refresh)) == (401, "token_not_valid")
    assert refresh(body["refresh"]).status_code == 200


def test_of_two_refreshes_at_the_same_moment_one_wins(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SessionToken, "check_blacklist", lambda self: None)  # as if both had looked before either wrote
    renew_tokens(tokens.refresh)
    with pytest.raises(TokenError):
        renew_tokens(tokens.refresh)


def test_an_access_token_is_no_refresh_token_and_the_other_way_round(tokens: Tokens):
    assert problem(refresh(tokens.access)) == (401, "token_not_valid")
    assert problem(me(tokens.refresh)) == (401, "token_not_valid")


@pytest.mark.parametrize("text", ["x", "a.b.c", "é" * 9, "x" * 4000])
def test_nonsense_is_no_token(text: str):
    assert problem(refresh(text)) == (401, "token_not_valid")
    assert problem(me(text)) == (401, "token_not_valid")


def test_tokens_expire_after_the_configured_time(ada: User):
    with time_machine.travel("2026-11-20T12:00:00Z", tick=False) as clock:
        tokens = issue_tokens(ada)
        clock.shift(timedelta(minutes=31))
        assert problem(me(tokens.access)) == (401, "token_not_valid")
        clock.shift(timedelta(days=6))
        renewed = refresh(tokens.refresh).json()["refresh"]
        clock.shift(timedelta(days=8))
        assert problem(refresh(renewed)) == (401, "token_not_valid")


def test_an_inactive_or_deleted_user_has_no_tokens(ada: User, tokens: Tokens):
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert problem(refresh(tokens.refresh)) == (401, "token_not_valid")
    assert problem(me(tokens.access)) == (401, "user_inactive")
    ada.delete()
    assert problem(refresh(tokens.refresh)) == (401, "token_not_valid")
    assert problem(me(tokens.access)) == (401, "user_not_found")


def test_logout_ends_the_refresh_token(ada: User, tokens: Tokens):
    answer = api_client(ada).post("/api/auth/logout/", {"refresh": tokens.refresh})
    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(refresh(tokens.refresh)) == (401, "token_not_valid")


def test_logout_ends_no_other_session(ada: User, tokens: Tokens):
    other = issue_tokens(ada)
    api_client(ada).post("/api/auth/logout/", {"refresh": tokens.refresh})
    assert refresh(other.refresh).status_code == 200


def test_nobody_logs_out_somebody_else(tokens: Tokens):
    answer = api_client(make_user()).post("/api/auth/logout/", {"refresh": tokens.refresh})
    assert problem(answer) == (400, "invalid")
    assert "refresh" in answer.json()["fields"]
    assert refresh(tokens.refresh).status_code == 200


def test_logout_needs_an_access_token(tokens: Tokens):
    assert problem(api_client().post("/api/auth/logout/", {"refresh": tokens.refresh})) == (401, "not_authenticated")


def test_a_new_password_ends_all_tokens(ada: User, tokens: Tokens):
    assert change_password(api_client(ada)).status_code == 204
    assert problem(refresh(tokens.refresh)) == (401, "token_not_valid")
    assert problem(me(tokens.access)) == (401, "password_changed")
    assert log_in(ada.email).status_code == 401
    fresh = log_in(ada.email, NEW_PASSWORD).json()
    assert me(fresh["access"]).status_code == 200
    assert refresh(fresh["refresh"]).status_code == 200


def test_a_password_set_in_the_admin_ends_them_too(ada: User, tokens: Tokens):
    ada.set_password(NEW_PASSWORD)
    ada.save(update_fields=["password"])
    assert problem(refresh(tokens.refresh)) == (401, "token_not_valid")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [("wrong", NEW_PASSWORD, "old_password"), (PASSWORD, "12345678", "new_password"), (PASSWORD, "", "new_password")],
)
def test_a_refused_change_changes_nothing(ada: User, tokens: Tokens, old: str, new: str, field: str):
    answer = change_password(api_client(ada), old, new)
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == [field]
    assert refresh(tokens.refresh).status_code == 200


def test_a_stolen_access_token_cannot_guess_the_password(ada: User):
    client = api_client(ada)
    answers = [change_password(client, f"guess {n}") for n in range(11)]
    assert problem(answers[9]) == (400, "invalid")
    assert problem(answers[10]) == (429, "throttled")


def test_the_database_holds_no_token(tokens: Tokens):
    refresh(tokens.refresh)
    assert OutstandingToken.objects.count() == 2
    assert not OutstandingToken.objects.exclude(token="").exists()


def test_expired_tokens_can_be_swept(ada: User):
    with time_machine.travel("2026-01-01T00:00:00Z"):
        issue_tokens(ada)
    call_command("flushexpiredtokens")
    assert not OutstandingToken.objects.exists()
