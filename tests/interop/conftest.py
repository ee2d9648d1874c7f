"""The environment with the real MXNet, in which scripts of this folder are run as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
Peer = Callable[..., Any]


@pytest.fixture(scope="session")
def peer() -> Peer:
    """Runs `SCRIPT ARGS...` with the interpreter that has MXNet and gives the JSON that it prints."""
    python = os.environ.get("SYNTHFACE_INTEROP_PYTHON")
    if not python or not Path(python).exists():
        pytest.fail("SYNTHFACE_INTEROP_PYTHON names no interpreter with MXNet; `make test-interop` makes one.")

    def run(script: str, *arguments: object) -> Any:
        done = subprocess.run(
            [python, str(HERE / script), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
