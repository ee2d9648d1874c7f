"""Progress talks on stderr: a line a minute where there is no terminal."""

from __future__ import annotations

import pytest

from synthface import progress
from synthface.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_a_minute_with_rate_and_time_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total=1_000, unit="images", label="rendering", initial=100) as bar:
        for second in range(1, 181):
            clock[0] = second
            bar.update(2, rejected=f"{second} of {2 * second}")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "rendering: 220/1,000 images, 2.0/s, 6 min left, rejected 60 of 120",
        "rendering: 340/1,000 images, 2.0/s, 6 min left, rejected 120 of 240",
        "rendering: 460/1,000 images, 2.0/s, 4 min left, rejected 180 of 360",
    ]


def test_an_unknown_total_has_no_time_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total=None, unit="records", label="scanning") as bar:
        clock[0] = 60
        bar.update(1_200)
    assert capsys.readouterr().err == "scanning: 1,200 records, 20.0/s\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5_340, "89 min"), (5_400, "1 h 30 min"), (200_000, "2 d 7 h")],
)
def test_durations_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text
