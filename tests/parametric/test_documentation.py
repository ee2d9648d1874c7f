"""That the page about parametric people is what the code says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def pictures(docs_script: Callable[[str], ModuleType]) -> ModuleType:
    return docs_script("parametric_pictures")


def test_the_tables_of_dimensions_are_those_of_the_code(pictures: ModuleType) -> None:
    page = pictures.PAGE.read_text(encoding="utf-8")
    assert pictures.page_with_tables(page) == page, "run python docs/parametric_pictures.py"


def test_every_picture_of_the_page_exists_and_is_small(pictures: ModuleType) -> None:
    page = pictures.PAGE.read_text(encoding="utf-8")
    files = [part.split(")")[0] for part in page.split("](images/")[1:]]
    assert len(files) == 4
    for name in files:
        assert (DOCS / "images" / name).stat().st_size <= 1 << 20


def test_the_example_of_the_page_runs(pictures: ModuleType) -> None:
    code = pictures.PAGE.read_text(encoding="utf-8").split("```python")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(code, names)
    assert names["made"].image_NHWC.shape == (4, 112, 112, 3)  # type: ignore[attr-defined]


def test_every_room_of_the_package_has_its_line_on_the_page(pictures: ModuleType) -> None:
    page = pictures.PAGE.read_text(encoding="utf-8")
    rooms = {file.stem for file in (DOCS.parent / "synthface" / "parametric").glob("*.py")} - {"__init__"}
    assert {room for room in rooms if f"`{room}`" not in page} == set()
