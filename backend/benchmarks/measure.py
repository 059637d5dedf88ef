"""Whole processes, measured by the operating system."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

MEGABYTE = 2**20
# Linux counts the resident set in kilobytes, macOS in bytes.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
# A process inherits the peak of the one that starts it, so a small one does.
STARTER = """
import json, os, sys
from time import monotonic
began = monotonic()
process = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
wall = monotonic() - began
with open(sys.argv[1], "w") as sink:
    json.dump([os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss], sink)
"""


class BenchmarkError(Exception):
    """A measured process failed, or did other work than the one it is compared with."""


@dataclass(frozen=True, slots=True)
class Run:
    """One process from start to end; `cpu` is user and system time of it and of the children it waited for."""

    wall: float
    cpu: float
    peak_megabytes: float
    output: str

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object that the process printed."""
        answer: dict[str, Any] = json.loads(self.output)
        return answer


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> Run:
    """A command, named by its absolute path. Raises BenchmarkError with what a failed process wrote."""
    # Every process may keep the code that Python compiled, as it would for a user.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    errors, usage = folder / "errors.txt", folder / "usage.json"
    starter = [sys.executable, "-I", "-S", "-c", STARTER, usage, *command]
    with errors.open("wb") as sink:
        environment = {**kept, **environment}
        output = subprocess.run(starter, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=sink, check=False)
    if output.returncode:
        raise BenchmarkError(f"{command[0]} was not started:\n{errors.read_text()[-2000:]}")
    code, wall, cpu, peak = json.loads(usage.read_text())
    if code:
        raise BenchmarkError(f"{command[1]} ended with {code}:\n{errors.read_text()[-2000:]}")
    return Run(wall, cpu, peak * RSS_UNIT / MEGABYTE, output.stdout.decode())


def spread(values: Sequence[float]) -> str:
    """The median, and between which values all lie."""
    return f"{median(values):8.3f} ({min(values):.3f} .. {max(values):.3f})"
