"""Shards and datasets on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from dataset_samples import Pack, Shard, jpeg, picture_number, row

from synthface.dataset import ShardWriter, pack
from synthface.recipe.pictures import PackRecipe


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    """Writes a shard of (identity, index) pictures; gives its `.rec` file."""

    def write(name: str, pictures: Sequence[tuple[int, int]], side: int = 24) -> Path:
        path = tmp_path / "shards" / name
        with ShardWriter(path) as writer:
            for identity, index in pictures:
                writer.write(jpeg(picture_number(identity, index), side), row(identity, index))
        return path.with_name(f"{name}.rec")

    return write


@pytest.fixture
def dataset(shard: Shard, tmp_path: Path) -> Pack:
    """Packs `people` × `per_id` pictures, from two shards, into a folder and gives it."""

    def make(people: int = 5, per_id: int = 4, name: str = "dataset", **settings: object) -> Path:
        cut = people // 2
        shards = [
            shard(f"{name}-{number}", [(identity, index) for identity in part for index in range(per_id)])
            for number, part in enumerate([range(cut), range(cut, people)])
            if len(part)
        ]
        pack(shards, tmp_path / name, PackRecipe(**settings), seed=0)  # type: ignore[arg-type]
        return tmp_path / name

    return make
