"""Where a report goes: checked before a run, and written in one go after it."""

import os
from pathlib import Path

from web.files import write_atomically


class ReportError(Exception):
    """A report cannot be written there."""


def check_path(text: str) -> Path:
    """The path of a report that can probably be written. Raises ReportError."""
    path = Path(text)
    try:
        _check(path, text)
    except OSError as error:
        raise ReportError(f"the report {text[:80]!r} cannot be written: {error.strerror}") from error
    return path


def write_page(path: Path, text: str) -> None:
    """Raises ReportError, and has then changed nothing."""
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise ReportError(f"the report {path} cannot be written: {error.strerror}") from error


def _check(path: Path, text: str) -> None:
    if not text.strip():
        raise ReportError("the report needs a file name")
    if path.is_dir():
        raise ReportError(f"the report {path} is a folder, not a file")
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK | os.X_OK):
        raise ReportError(f"the folder {path.parent} of the report cannot be written to")
    if not path.parent.is_dir():
        raise ReportError(f"the folder {path.parent} of the report does not exist")
    if os.path.lexists(path) and not path.is_file():
        raise ReportError(f"the report {path} is not a regular file")
    if len(os.fsencode(path.name)) > os.pathconf(path.parent, "PC_NAME_MAX"):
        raise ReportError(f"the report's name {path.name[:40]!r}... is too long")
