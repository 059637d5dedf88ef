"""./photon with a working stand-in for the interpreter, so that nothing is downloaded."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).resolve().parents[2] / "photon"

# Real Python for -c; venv and pip only leave the traces that the launcher looks at, and a line in calls.txt.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    "-I -m venv "*)
        echo venv >>"{calls}"
        mkdir -p "$4/bin" "$4/lib/python3.x/site-packages/pip"
        cp "{fake}" "$4/bin/python" ;;
    "-I -m pip install "*)
        for last; do :; done
        echo "pip ${{last##*/}}" >>"{calls}"
        if [ -e "{folder}/offline" ]; then echo "ERROR: No match (from versions: none)"; exit 1; fi
        if [ -e "{folder}/slow" ]; then sleep 1; fi
        if [ -e "{folder}/stuck" ]; then exec sleep 60; fi
        for last in "$0"; do mkdir -p "${{last%/bin/python}}/lib/python3.x/site-packages/django"; done
        echo "Installing collected packages" ;;
    "-I -S -c "*) if [ -e "{folder}/version" ]; then cat "{folder}/version"; else exec "{real}" "$@"; fi ;;
    "-m pytest"*) echo "pytest in $PWD:$*" ;;
    *) exec "{real}" "$@" ;;
esac
"""


class Project:
    """A copy of the launcher in a folder of its own, with a manage.py that tells how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "a project"
        backend = self.root / "backend"
        backend.mkdir(parents=True)
        shutil.copy(LAUNCHER, self.root)
        (backend / "manage.py").write_text("import os, sys; print(os.getcwd(), sys.argv[1:])")
        (backend / "requirements.lock.txt").write_text("one\n")
        (backend / "requirements-dev.lock.txt").write_text("two\n")
        self.calls = folder / "calls.txt"
        self.calls.touch()
        self.python = folder / "fake python"
        real = getattr(sys, "_base_executable", sys.executable)
        values = {"calls": self.calls, "fake": self.python, "folder": folder, "real": real}
        self.python.write_text(FAKE_PYTHON.format(**values))
        self.python.chmod(0o755)

    def start(self, *arguments: str, launcher: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        command = ["sh", str(launcher or self.root / "photon"), *arguments]
        environment = {"PATH": os.environ["PATH"], "PHOTON_PYTHON": str(self.python), **variables}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def run(self, *arguments: str, launcher: Path | None = None, **variables: str) -> tuple[int, str, str]:
        process = self.start(*arguments, launcher=launcher, **variables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def new_calls(self) -> list[str]:
        calls = self.calls.read_text().splitlines()
        self.calls.write_text("")
        return calls


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def installed(project: Project) -> Project:
    assert project.run("check")[0] == 0
    assert project.new_calls() == ["venv", "pip requirements.lock.txt"]
    return project


def test_the_first_start_installs_and_says_so_on_stderr(project: Project):
    code, out, err = project.run("backtest", "--report", "out file.html")
    assert code == 0
    assert out == f"{project.folder} ['backtest', '--report', 'out file.html']\n"
    assert "installing the runtime packages" in err


def test_the_second_start_installs_nothing(installed: Project):
    assert installed.run("check")[2] == ""
    assert installed.new_calls() == []


def test_usage_needs_no_installation(project: Project):
    for arguments in [(), ("help",), ("--help",)]:
        code, out, _ = project.run(*arguments)
        assert code == 0
        assert "./photon COMMAND" in out
    assert project.new_calls() == []


def test_the_tests_run_in_the_backend_with_the_development_packages(installed: Project):
    _, out, _ = installed.run("test", "-k", "two words")
    assert out == f"pytest in {installed.root}/backend:-m pytest -k two words\n"
    assert installed.new_calls() == ["pip requirements-dev.lock.txt"]


def test_it_starts_through_links(installed: Project):
    link = installed.folder / "link"
    link.symlink_to("a project/photon")
    second = installed.folder / "second link"
    second.symlink_to(link)
    assert installed.run("check", launcher=second) == (0, f"{installed.folder} ['check']\n", "")


def test_a_failing_command_keeps_its_exit_code(installed: Project):
    (installed.root / "backend/manage.py").write_text("raise SystemExit(7)")
    assert installed.run("check")[0] == 7


def test_a_changed_lock_is_installed(installed: Project):
    (installed.root / "backend/requirements.lock.txt").write_text("three\n")
    assert installed.run("check")[0] == 0
    assert installed.new_calls() == ["pip requirements.lock.txt"]


def remove_package(project: Project) -> None:
    shutil.rmtree(project.root / ".venv/lib/python3.x/site-packages/django")


def remove_interpreter(project: Project) -> None:
    (project.root / ".venv/bin/python").unlink()


def remove_everything(project: Project) -> None:
    shutil.rmtree(project.root / ".venv")


def change_version(project: Project) -> None:
    (project.folder / "version").write_text("3.99\n")


def move(project: Project) -> None:
    project.root = project.root.rename(project.folder / "moved away")


@pytest.mark.parametrize("damage", [remove_package, remove_interpreter, remove_everything, change_version, move])
def test_a_damaged_environment_is_made_anew(installed: Project, damage):
    damage(installed)
    assert installed.run("check")[0] == 0
    assert installed.new_calls() == ["venv", "pip requirements.lock.txt"]
    assert installed.run("check")[2] == ""


def test_an_install_cut_short_is_made_anew(installed: Project):
    (installed.root / "backend/requirements.lock.txt").write_text("three\n")
    stuck = installed.folder / "stuck"
    stuck.touch()
    process = installed.start("check")
    while not installed.calls.read_text():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    stuck.unlink()
    installed.new_calls()
    assert installed.run("check")[0] == 0
    assert installed.new_calls() == ["venv", "pip requirements.lock.txt"]


def test_starts_at_once_install_once(project: Project):
    (project.folder / "slow").touch()
    processes = [project.start("check") for _ in range(4)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert [out for out, _ in results] == [f"{project.folder} ['check']\n"] * 4
    assert project.new_calls() == ["venv", "pip requirements.lock.txt"]


def test_without_an_index_it_says_so_and_can_be_tried_again(project: Project):
    offline = project.folder / "offline"
    offline.touch()
    code, out, err = project.run("check")
    assert (code, out) == (1, "")
    assert "No match" in err
    assert "pip cannot reach a package index" in err.splitlines()[-1]
    offline.unlink()
    assert project.run("check")[0] == 0


def test_a_failed_install_of_the_development_packages_leaves_the_rest_working(installed: Project):
    (installed.folder / "offline").touch()
    assert installed.run("test")[0] == 1
    assert installed.run("check")[0] == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("echo is 3.9", "found: {python} is 3.9"),
        ("echo has no venv module", "found: {python} has no venv module"),
        ("exit 1", "found: none"),
    ],
)
def test_an_unsuitable_python_is_named_in_one_line(project: Project, answer: str, message: str):
    project.python.write_text(f"#!/bin/sh\n{answer}\n")
    code, out, err = project.run("check")
    assert (code, out) == (1, "")
    assert err.startswith("photon: needs Python 3.11, 3.12 or 3.13")
    assert err.endswith(message.format(python=project.python) + "\n")
    assert err.count("\n") == 1
    assert not (project.root / ".venv").exists()
