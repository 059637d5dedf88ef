"""Copies of the registered models as files, for people and other tools. Nothing is ever loaded from them."""

import json
import logging
import os
from pathlib import Path

from django.conf import settings

from learning.models import ModelVersion
from learning.registry.stored import manifest

logger = logging.getLogger(__name__)


def export(version: ModelVersion, artefact: bytes) -> Path | None:
    """An .onnx file in MODEL_PATH with all that the content hash stands for beside it; None where that is not set.

    A folder that cannot be written is said in the log: the model is in the database, and serves.
    """
    if not settings.MODEL_PATH:
        return None
    name = "_".join((version.symbol.symbol, version.interval, version.name.replace(":", "-"), version.content_hash[:8]))
    path = Path(settings.MODEL_PATH) / f"{name}.onnx"
    told = {"content_hash": version.content_hash, **manifest(version), "scores": version.scores}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path.with_suffix(".json"), json.dumps(told, indent=1, sort_keys=True).encode())
        _write(path, artefact)
    except OSError as error:
        logger.error("MODEL_PATH: %s could not be written: %s", path, error)
        return None
    return path


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, whenever this stops."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)
