import os
from pathlib import Path

import pytest
from django.core.cache import cache
from rest_framework.throttling import SimpleRateThrottle

PROJECT_DIR = Path(__file__).resolve().parents[2]


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


@pytest.fixture
def quick_passwords(settings) -> None:
    """Hashing a password takes 50 ms otherwise, as it should."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def unthrottled(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that ask more often than a client may."""
    settings.AXES_ENABLED = False
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", dict.fromkeys(SimpleRateThrottle.THROTTLE_RATES))
