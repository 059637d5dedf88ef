import os
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real candles; it does not ship with the project."""
    folder = Path(os.environ.get("PHOTON_TEST_DATA") or PROJECT_DIR.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real candles at {folder}; PHOTON_TEST_DATA names the folder")
    return folder
