import os
from pathlib import Path

import pytest
from django.core.cache import cache
from hypothesis import HealthCheck
from hypothesis import settings as proofs
from rest_framework.throttling import SimpleRateThrottle

PROJECT_DIR = Path(__file__).resolve().parents[2]
MOST_WORKERS = 8
# How long an example takes says how busy the machine is: time is measured in benchmarks.
proofs.register_profile("photon", deadline=None, suppress_health_check=[HealthCheck.too_slow])
proofs.load_profile("photon")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Workers for the whole suite only: one file is done sooner than they and their databases are there."""
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    narrowed = config.option.keyword or config.option.markexpr or config.option.lf or config.option.collectonly
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS) if whole and not narrowed else 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-database", action="store_true", help="only the tests that use the database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A second run on another database need not prove again what no database is asked about."""
    if config.option.only_database:
        chosen = [item for item in items if _uses_database(item)]
        config.hook.pytest_deselected(items=[item for item in items if not _uses_database(item)])
        items[:] = chosen


def _uses_database(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", [])
    return item.get_closest_marker("django_db") is not None or not {"db", "transactional_db"}.isdisjoint(fixtures)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real candles; it does not ship with the project."""
    folder = Path(os.environ.get("PHOTON_TEST_DATA") or PROJECT_DIR.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real candles at {folder}; PHOTON_TEST_DATA names the folder")
    return folder


@pytest.fixture(autouse=True)
def fresh_cache(settings) -> None:
    """Counts of requests are of one test, and never in the folder of the real ones."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()


@pytest.fixture(autouse=True)
def no_live_markets(settings) -> None:
    """No test asks the network for a market that it has no file of; those of live markets have servers of their own."""
    settings.MARKET_SOURCES = "files"


@pytest.fixture
def quick_passwords(settings) -> None:
    """Hashing a password takes 50 ms otherwise, as it should."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def unthrottled(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that ask more often than a client may."""
    settings.AXES_ENABLED = False
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", dict.fromkeys(SimpleRateThrottle.THROTTLE_RATES))
