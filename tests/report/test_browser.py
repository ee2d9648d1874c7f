"""The page in a browser: nothing wider than the screen, nothing blank, nothing asked of the network. `make test-browser`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Page, browser, find
from PIL import Image

from synthface.report.page import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = find()
    if program is None:
        pytest.fail("There is no Chromium: `make test-browser` tells how to install it, or name it in $CHROMIUM.")
    with browser(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def report(complete: Path) -> Path:
    return Path(write_report(complete)["report"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 400, 320])
def test_the_page_fits_the_screen_and_shows_something(tab: Page, report: Path, width: int, scheme: str) -> None:
    found = tab.load(report, width, scheme)
    assert found["inner"] == width
    assert found["scroll"] <= width
    assert found["outside"] == []
    assert found["broken"] == 0
    assert found["height"] > 2_000
    picture = np.asarray(Image.open(io.BytesIO(tab.picture(width, 2_000))).convert("L"), np.float64)
    paper = picture[2, 2]
    assert (paper > 200) == (scheme == "light")
    ink = np.abs(picture - paper) > 60
    assert 0.01 < ink.mean() < 0.7
    bands = ink.reshape(10, 200, width).mean(axis=(1, 2))
    assert (bands > 0).all()  # nowhere a screen's height of nothing
    assert tab.requests == []


def test_a_run_of_which_little_is_known_fits_as_well(tab: Page, rendered: Path, tmp_path: Path) -> None:
    page = Path(write_report(rendered, tmp_path / "little.html")["report"])
    for width in (1280, 400):
        found = tab.load(page, width, "light")
        assert found["scroll"] <= width
        assert found["outside"] == []
