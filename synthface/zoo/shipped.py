"""The small models that ship inside the package: names that recipes use → files."""

from __future__ import annotations

from pathlib import Path

from synthface.errors import MissingWeightsError

FOLDER = Path(__file__).resolve().parent.parent / "embedded"
ENCODERS = {"embedded": "encoder.safetensors", "embedded-verifier": "verifier.safetensors"}
GENERATORS = {"embedded": "generator"}
DRY = "dry"  # the name of no network: rehearsals without one, see docs/render.md
PRIOR = "prior.safetensors"  # of the encoder `embedded`
FIX = "This installation is incomplete: install synthface again."


def encoder(name: str) -> Path:
    """The file of a shipped encoder; raises MissingWeightsError when the installation lacks it."""
    return _present(name, FOLDER / ENCODERS[name])


def generator(name: str) -> Path:
    """The folder of a shipped generator; raises MissingWeightsError when the installation lacks it."""
    return _present(name, FOLDER / GENERATORS[name])


def _present(name: str, path: Path) -> Path:
    if not path.exists():
        raise MissingWeightsError(f"The model '{name}' that ships with synthface is not at {path}.", FIX)
    return path
