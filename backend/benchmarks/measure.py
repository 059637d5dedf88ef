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


class BenchmarkError(Exception):
    """A measured process failed."""


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
    """Raises BenchmarkError with what a failed process wrote."""
    # Every process may keep the code that Python compiled, as it would for a user.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    wanted = {**kept, **environment}
    errors = folder / "errors.txt"
    with errors.open("wb") as sink:
        began = os.times().elapsed
        process = subprocess.Popen(list(map(str, command)), cwd=folder, env=wanted, stdout=subprocess.PIPE, stderr=sink)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        wall = os.times().elapsed - began
        process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"{command[1]} ended with {process.returncode}:\n{errors.read_text()[-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT / MEGABYTE, output)


def spread(values: Sequence[float]) -> str:
    """The median, and between which values all lie."""
    return f"{median(values):8.3f} ({min(values):.3f} .. {max(values):.3f})"
