import pytest
from django.db import OperationalError, connection
from django.test import Client

from config import readiness
from web import health
from web.health import Finding, add_check

READY = "/api/health/ready/"


@pytest.fixture(autouse=True)
def own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_checks", {})


def test_alive_asks_nothing_of_the_database(client: Client):
    answer = client.get("/api/health/")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_ready_names_what_was_looked_at(client: Client, settings):
    settings.REDIS_URL = ""
    readiness.add_checks()
    answer = client.get(READY)
    checks = {
        "database": {"ok": True},
        "beat": {"ok": True, "detail": "no account trades"},
        "market_data": {"ok": True, "detail": "none yet"},
        "sources": {"ok": True},
    }
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": checks})


@pytest.mark.django_db
def test_it_is_503_and_names_what_is_down(client: Client, settings):
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
    readiness.add_checks()
    answer = client.get(READY)
    assert answer.status_code == 503
    checks = answer.json().pop("checks")
    assert answer.json() | {"checks": {}} == {
        "detail": "Not ready: broker, beat.",
        "code": "not_ready",
        "status": "not_ready",
        "checks": {},
    }
    assert (checks["database"], checks["broker"]) == ({"ok": True}, {"ok": False, "detail": "cannot be reached"})


def test_a_database_that_is_down_is_said_without_its_address(client: Client, monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        raise OperationalError("connection to 10.0.0.7 refused")

    monkeypatch.setattr(connection, "cursor", refuse)
    add_check("database", readiness._database)
    answer = client.get(READY)
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": {"ok": False, "detail": "cannot be used"}}


def test_an_app_adds_a_check_with_an_age(client: Client):
    add_check("market_data", lambda: Finding(ok=False, detail="too old", age_seconds=7200.5))
    answer = client.get(READY)
    assert answer.status_code == 503
    assert answer.json()["checks"]["market_data"] == {"ok": False, "detail": "too old", "age_seconds": 7200.5}


@pytest.mark.parametrize(
    ("token", "debug", "header", "status"),
    [
        ("", True, "", 200),
        ("", False, "", 404),
        ("", False, "Bearer ", 404),
        ("t0ken", True, "", 401),
        ("t0ken", False, "Bearer wrong", 401),
        ("t0ken", False, "Bearer té", 401),
        ("t0ken", False, "Bearer t0ken", 200),
    ],
)
def test_metrics_are_for_the_bearer_of_the_token(
    client: Client, settings, token: str, debug: bool, header: str, status: int
):
    settings.METRICS_TOKEN, settings.DEBUG = token, debug
    answer = client.get("/metrics", headers={"authorization": header})
    assert answer.status_code == status
    assert (b"django_http_requests_total" in answer.content) is (status == 200)
