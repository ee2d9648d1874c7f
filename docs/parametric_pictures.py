"""Draws the pictures of parametric.md and writes its tables of dimensions.

python docs/parametric_pictures.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthface.parametric import IDENTITY_DIMENSIONS, NUISANCE_DIMENSIONS, plain_nuisance, population, render
from synthface.parametric.dimensions import APPEARANCES, NUISANCES, SHAPES

HERE = Path(__file__).parent
PAGE = HERE / "parametric.md"
BEGIN, END = "<!-- dimensions: written by parametric_pictures.py -->", "<!-- /dimensions -->"
PEOPLE, PICTURES = 8, 10
Array = NDArray[Any]


def tables() -> str:
    """The tables of all dimensions, in Markdown."""
    lines = ["| identity: shape | more of it is |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in SHAPES.items()]
    lines += ["", "| identity: appearance | more of it is |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in APPEARANCES.items()]
    lines += ["", "| nuisance | meaning | from | to | plain |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| `{name}` | {n.meaning} | {n.low:g} | {n.high:g} | {n.plain:g} |" for name, n in NUISANCES.items()]
    return "\n".join(lines)


def page_with_tables(page: str) -> str:
    """The page with the tables of this version between its two marks."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def sheet(image_NHWC: Array, columns: int) -> Array:
    """The pictures in rows."""
    rows = [np.hstack(list(image_NHWC[k : k + columns])) for k in range(0, len(image_NHWC), columns)]
    return np.vstack(rows)


def people() -> Array:
    """One person a row, in the pictures that the population takes of them."""
    person, picture = np.repeat(np.arange(PEOPLE), PICTURES), np.tile(np.arange(PICTURES), PEOPLE)
    drawn = render(
        population.identities(0, "documentation", person),
        population.nuisances(0, "documentation", person, picture),
        population.sensor_seeds(0, "documentation", person, picture),
    )
    return sheet(drawn.image_NHWC, PICTURES)


def portraits() -> Array:
    """Forty people in a plain portrait, a trace of a smile."""
    count = 40
    nuisance = plain_nuisance(count)
    random = np.random.default_rng(0)
    nuisance[:, NUISANCE_DIMENSIONS.index("smile")] = random.uniform(0, 0.4, count)
    nuisance[:, NUISANCE_DIMENSIONS.index("beard_growth")] = random.uniform(0, 1, count)
    who = population.identities(0, "portraits", np.arange(count))
    return sheet(render(who, nuisance, np.arange(count)).image_NHWC, 10)


IN_PROFILE = {
    "forehead_slope",
    "chin_projection",
    "eye_depth",
    "brow_ridge",
    "bridge_height",
    "tip_projection",
    "nose_hump",
    "lip_projection",
}


def dimensions() -> Array:
    """Every identity dimension at −2.5 and at 2.5, on the same person."""
    count = len(IDENTITY_DIMENSIONS)
    identity, nuisance = np.zeros((2 * count, count)), plain_nuisance(2 * count)
    for name, value in {"skin_tone": -0.5, "hair_length": -1.0, "sex": 0.3}.items():
        identity[:, IDENTITY_DIMENSIONS.index(name)] = value
    for k, name in enumerate(IDENTITY_DIMENSIONS):
        pair = slice(2 * k, 2 * k + 2)
        identity[pair, k] = (-2.5, 2.5)
        if name.startswith("beard"):
            identity[pair, IDENTITY_DIMENSIONS.index("sex")] = 2.0
            nuisance[pair, NUISANCE_DIMENSIONS.index("beard_growth")] = 0.8
        nuisance[pair, NUISANCE_DIMENSIONS.index("yaw")] = 60.0 * (name in IN_PROFILE)
    image = render(identity, nuisance, np.zeros(2 * count, int)).image_NHWC.copy()
    for name, picture in zip(IDENTITY_DIMENSIONS, image[::2], strict=True):
        cv2.putText(picture, name, (3, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (255, 255, 0), 1, cv2.LINE_AA)
    return sheet(image, 16)


SITUATIONS: tuple[dict[str, float], ...] = (
    {"yaw": 75},
    {"yaw": -45},
    {"pitch": 28},
    {"pitch": -28},
    {"smile": 1, "lips_parted": 0.7},
    {"jaw_open": 1},
    {"sadness": 1, "frown": 0.8},
    {"blink": 1},
    {"gaze_x": 25},
    {"age": 20},
    {"age": 75},
    {"beard_growth": 1},
    {"hair_tied": 1, "yaw": 50},
    {"glasses": 1},
    {"glasses": 1, "glasses_tint": 1},
    {"mask": 1},
    {"occluder": 1},
    {"light_azimuth": 90, "light_hardness": 1, "light_fill": 0.2},
    {"light_elevation": 80, "light_hardness": 1, "light_fill": 0.2},
    {"white_balance": 1},
)


def situations() -> Array:
    """Two people in the same situations."""
    nuisance = plain_nuisance(len(SITUATIONS))
    for row, situation in zip(nuisance, SITUATIONS, strict=True):
        for name, value in situation.items():
            row[NUISANCE_DIMENSIONS.index(name)] = value
    drawn = []
    for person in (17, 10):  # a man, a woman
        who = population.identities(0, "portraits", np.full(len(SITUATIONS), person))
        drawn.append(render(who, nuisance, np.arange(len(SITUATIONS))).image_NHWC)
    return sheet(np.concatenate(drawn), 10)


def main() -> None:
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    pictures = {
        "people": people(),
        "portraits": portraits(),
        "identity-dimensions": dimensions(),
        "situations": situations(),
    }
    for name, picture in pictures.items():
        file = HERE / "images" / f"parametric-{name}.jpg"
        cv2.imwrite(str(file), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 93])
        print(file.relative_to(HERE), f"{file.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
