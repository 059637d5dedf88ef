"""Rules of the whole house: how it starts, and what its files may hold."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings
from django.core.checks import run_checks

PROJECT_DIR = Path(__file__).resolve().parents[2]
BACKEND_DIR = PROJECT_DIR / "backend"
LOCK_FILES = ["requirements.lock.txt", "requirements-dev.lock.txt"]


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BACKEND_DIR / "manage.py"), *arguments]
    environment = {"PATH": os.defpath, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"DEBUG": "False"}, "SECRET_KEY"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"DB_NAME": "photon", "DB_PORT": "x"}, "DB_PORT"),
        ({"DATABASE_URL": "postgres://127.0.0.1:1/photon"}, "the database cannot be used"),
    ],
)
def test_a_start_that_cannot_work_fails_in_one_line(variables: dict[str, str], named: str):
    result = manage("showmigrations", **variables)
    assert result.returncode == 1
    assert result.stdout == ""
    assert re.fullmatch(f"photon: .*{named}.*\n", result.stderr)


def test_the_checks_pass_in_production():
    secret = "3Qm8vK1xY6tR0pL5nB9dW2sH7jF4gC-aZeXuToIiOk_PqNrMlE"
    variables = {"DEBUG": "False", "SECRET_KEY": secret, "ALLOWED_HOSTS": "photon.example.com"}
    result = manage("check", "--deploy", "--fail-level", "WARNING", **variables)
    assert result.returncode == 0, result.stderr


def test_a_start_imports_nothing_heavy():
    numeric = ["numpy", "pandas", "plotly", "scipy", "sklearn", "talib"]
    services = ["celery", "kombu", "prometheus_client", "psycopg", "redis", "requests", "rest_framework.views"]
    own = ["config.urls", "trading.admin", "trading.agents.journal", "trading.messages.adapter", "web.errors"]
    heavy = numeric + services + own
    script = f"import django, sys; django.setup(); print([name for name in {heavy} if name in sys.modules])"
    environment = {"PATH": os.defpath, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=BACKEND_DIR, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_the_admin_pages_pass_their_checks():
    """`config.urls` imports the admin modules, possibly after `./photon check` has run the checks of the admin."""
    import_module("config.urls")
    assert "trading.admin" in sys.modules
    assert run_checks(tags=["admin"]) == []


@pytest.mark.parametrize(
    ("debug", "hosts", "ids"), [(True, ["*"], ["photon.W001"]), (True, [], []), (False, ["*"], [])]
)
def test_debug_on_an_open_site_is_warned_about(settings, debug: bool, hosts: list[str], ids: list[str]):
    settings.DEBUG, settings.ALLOWED_HOSTS = debug, hosts
    assert [message.id for message in run_checks(tags=["security"])] == ids


@pytest.mark.parametrize("name", LOCK_FILES)
def test_a_lock_file_pins_hashes_and_names_no_host(name: str):
    text = (BACKEND_DIR / name).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)
    packages = re.split(r"\n(?=[a-z])", text.strip())
    assert all("==" in package and "--hash=sha256:" in package for package in packages)


def pinned_versions(name: str) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==(\S+)", (BACKEND_DIR / name).read_text(), re.MULTILINE):
        versions.setdefault(package, set()).add(version)
    return versions


def test_both_lock_files_agree():
    runtime, dev = (pinned_versions(name) for name in LOCK_FILES)
    shared = runtime.keys() & dev.keys()
    assert shared
    assert {name: runtime[name] for name in shared} == {name: dev[name] for name in shared}


def test_the_import_linter_knows_every_package():
    known = tomllib.loads((BACKEND_DIR / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    packages = {path.parent.name for path in BACKEND_DIR.glob("*/__init__.py")} - {"tests"}
    assert set(known) == packages
    assert set(settings.PROJECT_APPS) <= packages


def test_no_file_holds_a_path_of_somebodys_machine():
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        result = subprocess.run(listing, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs git")
    if result.returncode:
        pytest.skip("not a git checkout")
    files = [PROJECT_DIR / name for name in result.stdout.split("\0") if name]
    machine = re.compile(rf"(?<![\w.])(/home/|/Users/|/root/(?!\.cache)|{re.escape(str(PROJECT_DIR))}/)\w".encode())
    found = [
        f"{path}: {match[0]!r}" for path in files if path.is_file() and (match := machine.search(path.read_bytes()))
    ]
    assert found == []
