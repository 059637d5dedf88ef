"""The status page shows one account, to those who may see it, in a few queries."""

import re
from pathlib import Path

import pytest
from django.test import Client

from accounts.models import User
from tests.kept import Rows, made_once
from tests.trading.markets import play_real_candles, running_account
from trading.models import Account, Decision

pytestmark = pytest.mark.django_db

ROWS: Rows = {}


@pytest.fixture
def traded(real_data: Path) -> Account:
    made_once(ROWS, lambda: play_real_candles(real_data, history=100, played=30))
    return Account.objects.get()


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_it_shows_what_is_in_the_books(traded: Account) -> None:
    page = logged_in(traded.user).get("/").content.decode()
    assert f"{traded.equity:,.2f}" in page
    assert f"{traded.cash:,.2f}" in page
    assert "<polyline points=" in page
    newest = Decision.objects.order_by("-pk").first()
    assert newest.reasoning.split("(")[0] in page
    assert len(re.findall(r'class="tag (BUY|SELL|HOLD)"', page)) == 12


def test_it_needs_no_other_host_and_no_other_file(traded: Account) -> None:
    page = logged_in(traded.user).get("/").content.decode()
    assert not re.search(r'(src|href)="(?!/|data:)', page)
    assert "<script src" not in page


def test_a_visitor_is_sent_to_the_login(client: Client, traded: Account) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/")
    assert "ann@example.com" not in client.get("/login/").content.decode()


def test_a_user_can_log_in_and_out(client: Client, traded: Account) -> None:
    answer = client.post("/login/", {"username": "ann@example.com", "password": "a long passphrase"}, follow=True)
    assert "ann@example.com, paper account" in answer.content.decode()
    client.post("/logout/")
    assert client.get("/").status_code == 302


def test_nobody_sees_the_account_of_another_user(traded: Account) -> None:
    other = running_account("bob@example.com")
    page = logged_in(other.user).get("/").content.decode()
    assert "bob@example.com" in page
    assert "ann@example.com" not in page
    assert "No decisions yet" in page
    assert "No messages yet" in page


def test_the_open_demo_account_is_shown_without_a_login_and_no_other_one(
    client: Client, traded: Account, settings
) -> None:
    settings.OPEN_ACCOUNT_ID = traded.pk
    other = running_account("bob@example.com")
    assert "ann@example.com" in client.get("/").content.decode()
    assert "ann@example.com" not in logged_in(other.user).get("/").content.decode()


def test_a_live_account_is_never_open(client: Client, traded: Account, settings) -> None:
    Account.objects.filter(pk=traded.pk).update(mode="LIVE")
    settings.OPEN_ACCOUNT_ID = traded.pk
    assert client.get("/").status_code == 302


def test_a_refresh_is_a_few_queries(traded: Account, django_assert_max_num_queries) -> None:
    client = logged_in(traded.user)
    with django_assert_max_num_queries(14):
        assert client.get("/?part").status_code == 200


def test_texts_are_escaped(traded: Account) -> None:
    Decision.objects.update(reasoning="<script>alert(1)</script>")
    assert "<script>alert" not in logged_in(traded.user).get("/?part").content.decode()


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_it_only_reads(traded: Account, method: str) -> None:
    assert getattr(logged_in(traded.user), method)("/").status_code == 405
