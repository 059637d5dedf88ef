"""What makes two models the same one."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def content_hash(manifest: Mapping[str, Any]) -> str:
    """Of everything that a model's answers depend on: who changes any of it makes another model."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
