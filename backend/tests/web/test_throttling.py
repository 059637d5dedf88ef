import pytest
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import ConnectionError as RedisDown
from rest_framework.settings import api_settings
from rest_framework.test import APIRequestFactory
from rest_framework.throttling import SimpleRateThrottle

from tests.api import api_client, log_in, make_user, problem
from web.throttling import client_address

pytestmark = pytest.mark.usefixtures("quick_passwords")


def asking(address: str, forwarded: str = "") -> HttpRequest:
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    return APIRequestFactory().get("/", REMOTE_ADDR=address, **headers)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, "", "192.0.2.1"),
        (0, "198.51.100.7", "192.0.2.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.5, 198.51.100.7", "198.51.100.7"),  # the last is our proxy's; the client may send the others
        (1, "unknown", "192.0.2.1"),
        (1, "2001:DB8::1", "2001:db8::1"),
    ],
)
def test_the_address_is_one_that_the_client_cannot_choose(
    monkeypatch: pytest.MonkeyPatch, proxies: int, forwarded: str, seen: str
):
    monkeypatch.setattr(api_settings, "NUM_PROXIES", proxies)
    assert client_address(asking("192.0.2.1", forwarded)) == seen


def test_there_may_be_no_address():
    assert client_address(asking("")) is None


@pytest.mark.django_db
def test_users_are_counted_each_for_themselves(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", SimpleRateThrottle.THROTTLE_RATES | {"user": "2/min"})
    ada, bob = api_client(make_user()), api_client(make_user())
    assert [ada.get("/api/auth/me/").status_code for _ in range(3)] == [200, 200, 429]
    assert bob.get("/api/auth/me/").status_code == 200
    limited = ada.get("/api/auth/me/")
    assert problem(limited) == (429, "throttled")
    assert 0 < int(limited["Retry-After"]) <= 60


@pytest.mark.django_db
@pytest.mark.parametrize("outage", [RedisDown("refused"), OSError("disk full")])
def test_a_cache_that_is_down_stops_nobody_but_guessers(monkeypatch: pytest.MonkeyPatch, outage: Exception):
    def fail(*_) -> None:
        raise outage

    user = make_user()
    for name in ("get", "set"):
        monkeypatch.setattr(cache._connections["default"], name, fail)
    assert api_client(user).get("/api/auth/me/").status_code == 200
    assert [log_in(user.email, "wrong").status_code for _ in range(5)] == [401] * 4 + [429]


@pytest.mark.django_db
def test_counts_are_kept_in_files_that_all_processes_see(settings, tmp_path):
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path)}
    }
    log_in("ada@example.com", "wrong")
    assert len(list(tmp_path.iterdir())) == 3  # per address, for logins, and for this e-mail
