"""The public weights: what there is, where it comes from, on what terms; pulling and verifying.

catalogue.py   the table
places.py      folders, records and hashes on this machine; shipped.py: the models inside the package
names.py       what a name, a hub id or a path means
pull.py        from the hub, a mirror or a folder
needs.py       what a recipe lacks

Nothing downloads unless `pull` is called.
"""

from synthface.zoo.catalogue import CATALOGUE, Model
from synthface.zoo.names import base_for, find, named
from synthface.zoo.needs import missing_for, models_of, present_for
from synthface.zoo.places import entry, missing, weights

__all__ = [
    "CATALOGUE",
    "Model",
    "base_for",
    "entry",
    "find",
    "missing_for",
    "models_of",
    "named",
    "names",
    "present_for",
    "pulled",
    "weights",
]


def names() -> list[str]:
    """The names of the public models."""
    return list(CATALOGUE)


def pulled() -> list[str]:
    """The names of the public models whose files are all here."""
    return [name for name, model in CATALOGUE.items() if not missing(model)]
