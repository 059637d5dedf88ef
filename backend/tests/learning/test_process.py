"""Training in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from learning.registry.services import _fields
from learning.training import process
from learning.training.fit import TrainingError
from learning.training.process import TrainingCrashed, train_in_process
from learning.training.recipes import Recipe
from tests.learning.made import HISTORY, candles, made
from tests.markets import random_candles

BACKEND = Path(__file__).resolve().parents[2]
PARENT = """
from learning.training import process
from learning.training.recipes import Recipe
from tests.markets import random_candles
popen = process.subprocess.Popen
def told(*arguments, **options):
    child = popen(*arguments, **options)
    print(child.pid, flush=True)
    return child
process.subprocess.Popen = told
process.train_in_process(Recipe(trees=5000), random_candles(3000))
"""


def test_another_process_makes_the_same_model():
    there, here = train_in_process(made().recipe, candles().iloc[:HISTORY]), made()
    assert there == here
    assert _fields(there) == _fields(here)


def test_what_cannot_be_trained_is_refused_as_it_is_here():
    with pytest.raises(TrainingError, match="0 rows to train on, but at least 30 are needed"):
        train_in_process(Recipe(), random_candles(40))


def test_a_process_that_dies_is_told_with_its_last_words(monkeypatch):
    monkeypatch.setattr(process, "MODULE", "learning.no_such_module")
    with pytest.raises(TrainingCrashed, match="no_such_module"):
        train_in_process(Recipe(), random_candles(40))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
def test_the_child_goes_with_its_parent():
    """Killed, so that it cannot clean up."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, cwd=BACKEND, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert is_alive(child)
        time.sleep(1.0)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until = time.monotonic() + 60
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_alive(child)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux what a process ignores")
def test_the_end_of_a_group_is_not_the_end_of_the_child():
    """As systemd and a terminal end things: everybody at once. Who waits for the child ends it, and no traceback."""
    environment = {**os.environ, "PYTHONPATH": str(BACKEND)}
    command = [sys.executable, "-m", process.MODULE]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        until = time.monotonic() + 60
        while not ignores(child.pid, signal.SIGTERM) and time.monotonic() < until:
            time.sleep(0.05)
        for told in (signal.SIGTERM, signal.SIGINT):
            child.send_signal(told)
        time.sleep(0.2)
        assert child.poll() is None
        child.kill()


def ignores(process: int, told: signal.Signals) -> bool:
    (line,) = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("SigIgn")]
    return bool(int(line.split()[1], 16) >> (told - 1) & 1)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A child that has ended, and that nobody has asked about, is a zombie and no more than a line in a table.
    stat = Path(f"/proc/{process}/stat")
    try:
        return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
