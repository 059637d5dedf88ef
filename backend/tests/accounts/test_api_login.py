import re
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.lockout import login_name
from accounts.models import User
from tests.api import PASSWORD, api_client, log_in, make_user, problem, with_token

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]

SPELLINGS = ["ada@example.com", "ADA@EXAMPLE.COM", " Ada@Example.com ", "aDA@example.COM"]


@pytest.fixture
def ada() -> User:
    return make_user("Ada@example.com")


@pytest.mark.parametrize("email", SPELLINGS)
def test_it_takes_the_email_in_any_case(ada: User, email: str):
    answer = log_in(email)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access", "refresh", "user"}
    assert body["user"]["id"] == ada.pk
    assert with_token(api_client(), body["access"]).get("/api/auth/me/").status_code == 200


def test_it_remembers_the_last_login(ada: User):
    log_in(ada.email)
    ada.refresh_from_db()
    assert timezone.now() - ada.last_login < timedelta(minutes=1)


def test_wrong_password_unknown_email_and_inactive_user_read_the_same(ada: User):
    make_user("idle@example.com", is_active=False)
    answers = [log_in(ada.email, "wrong"), log_in("bob@example.com"), log_in("idle@example.com")]
    assert {problem(answer) for answer in answers} == {(401, "no_active_account")}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0]["WWW-Authenticate"].startswith("Bearer")


def test_an_old_token_in_the_header_does_not_stand_in_the_way(ada: User):
    client = with_token(APIClient(), "expired")
    assert client.post("/api/auth/login/", {"email": ada.email, "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize("body", [{}, [], "x", 1, None, {"email": 1}, {"email": {}, "password": []}])
def test_bad_input_is_400(body):
    assert problem(api_client().post("/api/auth/login/", body))[0] == 400


def test_guessing_locks_out_whatever_the_spelling(ada: User):
    answers = [log_in(email, "wrong") for email in SPELLINGS]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert problem(log_in("ada@EXAMPLE.com", "wrong")) == (429, "locked_out")
    locked = log_in(ada.email, PASSWORD)
    assert problem(locked) == (429, "locked_out")
    assert locked["Retry-After"] == "900"


def test_an_unknown_email_is_locked_out_just_the_same():
    statuses = [log_in(email, "wrong").status_code for email in [*SPELLINGS, SPELLINGS[0], SPELLINGS[1]]]
    assert statuses == [401] * 4 + [429] * 2


def test_a_lock_out_is_of_one_address_only(ada: User):
    for _ in range(5):
        log_in(ada.email, "wrong", REMOTE_ADDR="192.0.2.1")
    assert log_in(ada.email, REMOTE_ADDR="192.0.2.1").status_code == 429
    assert log_in(ada.email, REMOTE_ADDR="192.0.2.2").status_code == 200


def test_a_forged_forwarding_header_does_not_help(ada: User):
    answers = [log_in(ada.email, "wrong", HTTP_X_FORWARDED_FOR=f"192.0.2.{n}") for n in range(5)]
    assert answers[-1].status_code == 429


def test_a_lock_out_ends_and_trying_does_not_prolong_it(ada: User):
    with time_machine.travel("2026-11-20T12:00:00Z", tick=False) as clock:
        for _ in range(5):
            log_in(ada.email, "wrong")
        clock.shift(timedelta(minutes=10))
        assert log_in(ada.email).status_code == 429
        clock.shift(timedelta(minutes=6))
        assert log_in(ada.email).status_code == 200


def test_a_success_forgets_earlier_failures(ada: User):
    for _ in range(2):
        assert [log_in(ada.email, "wrong").status_code for _ in range(4)] == [401] * 4
        assert log_in(ada.email).status_code == 200


def test_one_address_cannot_try_many_accounts():
    answers = [log_in(f"user{n}@example.com", "Spring2026!") for n in range(21)]
    assert problem(answers[19]) == (401, "no_active_account")
    assert problem(answers[20]) == (429, "throttled")
    assert 0 < int(answers[20]["Retry-After"]) <= 60


@pytest.mark.usefixtures("no_lock_out")
def test_many_addresses_cannot_try_one_account(ada: User):
    answers = [log_in(SPELLINGS[n % 4], "wrong", REMOTE_ADDR=f"192.0.2.{n}") for n in range(121)]
    assert {answer.status_code for answer in answers[:120]} == {401}
    assert problem(answers[120]) == (429, "throttled")


@pytest.fixture
def no_lock_out(settings) -> None:
    settings.AXES_ENABLED = False


def test_the_admin_login_is_locked_out_too(client, ada: User):
    page = "/admin/login/"
    for email in [*SPELLINGS, SPELLINGS[1]]:
        client.post(page, {"username": email, "password": "wrong"})
    assert client.post(page, {"username": ada.email, "password": PASSWORD}).status_code == 429


def test_failures_are_counted_under_one_name_per_account(ada: User):
    assert {login_name(None, {"email": email}) for email in SPELLINGS} == {"ada@example.com"}
    assert login_name(None, {"username": " Bob@Example.com "}) == "bob@example.com"
    assert login_name(None, {}) is None


def test_no_password_reaches_the_log(ada: User, caplog: pytest.LogCaptureFixture):
    log_in(ada.email, "swordfish-one")
    log_in(ada.email)
    assert not re.search(f"swordfish|{PASSWORD}", caplog.text)
