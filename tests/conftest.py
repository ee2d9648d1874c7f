"""Where the tests find golden numbers and real faces."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Path:
    """The folder of numbers that the official code produced (each folder inside has a README)."""
    return GOLDEN


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real faces and networks. Absent on a laptop: skipped. Absent in CI: a failure."""
    place = os.environ.get("SYNTHFACE_REAL_DATA")
    if place and Path(place).is_dir():
        return Path(place).resolve()
    message = f"SYNTHFACE_REAL_DATA {'names no folder: ' + place if place else 'is not set'}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
