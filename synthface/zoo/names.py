"""What a value that stands for weights means: the name or hub id of a public model, a path, or a repository fetched before.

A hub id of the catalogue is the pulled model, whose revision is pinned. Another one is looked up in the hub's own cache,
where `hf download` puts what its user chose; nothing is downloaded here.
"""

from __future__ import annotations

import re
from pathlib import Path

from synthface.errors import MissingWeightsError
from synthface.zoo import places
from synthface.zoo.catalogue import CATALOGUE, Role

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def named(value: str | Path, *roles: Role) -> str | None:
    """The public model that `value` means: by its name, or in one of `roles` by its hub id. Folders come before hub ids."""
    if value in CATALOGUE:
        return str(value)
    if Path(value).exists():
        return None
    return next((model.name for model in CATALOGUE.values() if model.repository == value and model.role in roles), None)


def find(value: str | Path, *roles: Role) -> Path:
    """The folder or file behind a value. A `Path` is never a name.

    Raises MissingWeightsError that says how to get what is not here.
    """
    public = named(value, *roles)
    if public is not None:
        return places.weights(public)
    if Path(value).exists():
        return Path(value)
    if not isinstance(value, str) or not is_hub_id(value):
        raise MissingWeightsError(
            f"There is no folder or file {value}.",
            "`synthface models list` shows the public weights, and `synthface models pull` gets them; docs/generator.md "
            "shows how a generator's folder is laid out.",
        )
    cached = in_hub_cache(value)
    if cached is None:
        raise MissingWeightsError(
            f"{value} is no folder here and none of the public weights, and nothing is downloaded unasked.",
            f"Read its terms and get it with {fetching(value)}; `synthface models list` shows the public weights.",
        )
    return cached


def base_for(value: str | Path | None, *roles: Role) -> str | None:
    """The public model with the Stable Diffusion parts that the public model `value` lacks."""
    public = None if value is None else named(value, *roles)
    return None if public is None else CATALOGUE[public].base


def is_hub_id(value: str) -> bool:
    """Whether a value has the form OWNER/NAME."""
    return _HUB_ID.fullmatch(value) is not None


def in_hub_cache(repository: str) -> Path | None:
    """The snapshot of a repository in the hub's cache; None when there is none. The network is not asked."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except (OSError, ValueError):  # LocalEntryNotFoundError is both; an id that is none is a ValueError
        return None


def fetching(repository: str) -> str:
    """The command that puts a repository into the hub's cache."""
    return f"`hf download {repository}`"
