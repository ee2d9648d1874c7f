"""synthface: face-recognition training sets of people who do not exist.

fit_prior           embeddings of real people → the prior
sample_identities   the prior → people who do not exist
Arc2Face            an embedding → pictures of that person
render              people → a packed, verified dataset
Dataset             a dataset's pictures and labels
audit               how good it is, and whether it shows anybody

The names are imported when they are first used: `import synthface` alone loads none of the libraries behind them.
docs/python.md shows them at work.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthface.api import Dataset, audit, fit_prior, render, sample_identities
    from synthface.generator import Arc2Face

__all__ = ["Arc2Face", "Dataset", "audit", "fit_prior", "render", "sample_identities"]

_PLACES = dict.fromkeys(__all__, "synthface.api") | {"Arc2Face": "synthface.generator"}


class _Render(types.ModuleType):
    """The package synthface.render, which renders when it is called."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return importlib.import_module("synthface.api").render(*arguments, **options)


class _Synthface(types.ModuleType):
    """This package. Python sets a subpackage as attribute of its package, in place of a function of the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "render" and isinstance(value, types.ModuleType):
            value.__class__ = _Render
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Synthface


def __getattr__(name: str) -> Any:
    if name == "render":
        return importlib.import_module("synthface.render")
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'synthface' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
