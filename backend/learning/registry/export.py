"""Copies of registered models as files for other tools. The platform never loads them."""

import json
import logging
from pathlib import Path

from django.conf import settings

from learning.models import ModelVersion
from learning.registry.stored import manifest
from web.files import write_atomically

logger = logging.getLogger(__name__)


def export(version: ModelVersion, artefact: bytes) -> Path | None:
    """Writes an .onnx file to MODEL_PATH, and its manifest as .json; None where MODEL_PATH is empty.

    Errors are logged and not raised, because the model is stored in the database.
    """
    if not settings.MODEL_PATH:
        return None
    name = "_".join((version.symbol.symbol, version.interval, version.name.replace(":", "-"), version.content_hash[:8]))
    path = Path(settings.MODEL_PATH) / f"{name}.onnx"
    document = {"content_hash": version.content_hash, **manifest(version), "scores": version.scores}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path.with_suffix(".json"), json.dumps(document, indent=1, sort_keys=True).encode())
        write_atomically(path, artefact)
    except OSError as error:
        logger.error("MODEL_PATH: %s could not be written: %s", path, error)
        return None
    return path
