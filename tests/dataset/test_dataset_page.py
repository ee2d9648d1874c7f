"""The page about datasets: its Python runs, and it names every problem and column there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dataset_samples import Pack

from synthface.dataset.export import FORMATS
from synthface.dataset.manifest import COLUMNS
from synthface.dataset.verify.findings import NAMES

PAGE = Path(__file__).parents[2] / "docs/dataset.md"


def test_the_pages_python_runs(dataset: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(dataset(people=5, per_id=4).parent)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["packed"].images == 3  # type: ignore[attr-defined]


def test_the_page_names_all_problems_columns_and_formats() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in NAMES:
        assert f"`{name}`" in text, name
    assert ", ".join(COLUMNS) in " ".join(text.split())
    for name in FORMATS:
        assert f"| `{name}` |" in text, name
