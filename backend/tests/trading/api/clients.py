"""Fixtures: a user with a client, a stranger, and a market behind the API."""

import pytest

from accounts.models import User
from tests.api import api_client, make_user
from tests.trading.api.markets import Played, playing
from trading.books.accounts import open_account
from trading.models import Account


@pytest.fixture(autouse=True)
def quickly(quick_passwords, unthrottled) -> None:
    """Users are made without waiting, and may ask as often as a test does."""


@pytest.fixture
def user(db) -> User:
    return make_user()


@pytest.fixture
def account(user: User) -> Account:
    return open_account(user)


@pytest.fixture
def client(user: User):
    return api_client(user)


@pytest.fixture
def stranger(db):
    """A client of somebody who has nothing to do with the user."""
    return api_client(make_user())


@pytest.fixture
def played(db, monkeypatch: pytest.MonkeyPatch) -> Played:
    """BTCUSDT at 1h: the next hour of a replay whenever it is looked at, and a model that always says BUY."""
    return playing(monkeypatch)
