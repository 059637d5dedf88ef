"""`up` as a user meets it: one process, from nothing to trades, and on from there."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

BACKEND = Path(__file__).resolve().parents[2]
# Many times what it takes on an idle machine: what is tested is that it ends, and how, not how fast.
STOP_SECONDS = 60
PATIENCE_SECONDS = 90


class Up:
    """A running `up` on a database of its own."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = start(folder, "up", "--port", str(self.port), "--speed", "0.05", *arguments, **variables)

    def page(self, path: str = "/?part") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def wait_for(self, pattern: str) -> str:
        """The page as soon as it says this."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                if re.search(pattern, page := self.page(), re.DOTALL):
                    return page
            except OSError:
                pass
            time.sleep(0.3)
        self.process.kill()
        raise AssertionError(f"{pattern} never came: {self.process.communicate()}")

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> str:
        self.process.send_signal(with_signal)
        output, errors = self.process.communicate(timeout=STOP_SECONDS)
        assert self.process.returncode == 0, errors
        assert "database is locked" not in errors
        assert "Traceback" not in errors
        return output


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.defpath, "DATABASE_URL": f"sqlite:///{folder}/photon.sqlite3", **variables}
    command = [sys.executable, str(BACKEND / "manage.py"), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    return output


@pytest.fixture
def no_survivors() -> Iterator[list[Up]]:
    started: list[Up] = []
    yield started
    for up in started:
        if up.process.poll() is None:
            up.process.kill()
            up.process.communicate()


@pytest.mark.slow
def test_it_trades_from_nothing_stops_in_time_and_goes_on(tmp_path: Path, no_survivors: list[Up]) -> None:
    first = Up(tmp_path)
    no_survivors.append(first)
    page = first.wait_for("Bought .* on a signal")
    assert "demo@photon.local" in first.page("/")
    assert "Execution Agent" in page
    output = first.stop()
    assert re.search("made the demo user demo@photon.local with the password .{12,}", output)
    before = run(tmp_path, "audit")
    decisions = int(re.search(r"(\d+) decisions", before)[1])
    second = Up(tmp_path)
    no_survivors.append(second)
    second.wait_for("running, active 0 s ago")
    time.sleep(2)
    assert "password" not in second.stop(signal.SIGINT)
    after = run(tmp_path, "audit")
    assert int(re.search(r"(\d+) decisions", after)[1]) > decisions


@pytest.mark.slow
def test_it_replays_a_file_of_the_user(tmp_path: Path, no_survivors: list[Up]) -> None:
    lines = (BACKEND.parent / "data" / "EURUSD_1h.csv").read_text().splitlines()[:400]
    (tmp_path / "MYFX_1h.csv").write_text("\n".join(lines) + "\n")
    up = Up(tmp_path, "--replay", str(tmp_path / "MYFX_1h.csv"))
    no_survivors.append(up)
    page = up.wait_for("MYFX.*decision")
    assert "GOOG" not in page
    assert "the demo account replay-myfx-1h@photon.local trades MYFX at 1h" in up.stop()
    assert "All books add up: 1 accounts" in run(tmp_path, "audit")


@pytest.mark.slow
def test_without_debug_a_visitor_has_to_log_in(tmp_path: Path, no_survivors: list[Up]) -> None:
    production = {"DEBUG": "False", "SECRET_KEY": "s" * 60, "ALLOWED_HOSTS": "127.0.0.1", "HTTPS_ONLY": "False"}
    up = Up(tmp_path, **production)
    no_survivors.append(up)
    page = up.wait_for("Password")
    assert "demo@photon.local" not in page
    up.stop()


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(tmp_path, "up", "--port", str(taken.getsockname()[1]))
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, output) == (1, "")
    assert re.fullmatch(r"CommandError: cannot listen on 127.0.0.1:\d+: Address already in use; --port .*\n", errors)


@pytest.mark.parametrize("name", ["nothing_1h.csv", "EURUSD.csv", "EURUSD_1y.csv"])
def test_a_file_that_cannot_be_replayed_is_one_clear_line(tmp_path: Path, name: str) -> None:
    process = start(tmp_path, "up", "--replay", str(tmp_path / name))
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, output) == (1, "")
    assert errors.startswith("CommandError: ")
    assert errors.count("\n") == 1
