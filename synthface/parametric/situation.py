"""The nuisance vector, taken apart: one small record for each of the rooms that use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import expression, hair, hairline
from synthface.parametric.dimensions import NUISANCE_DIMENSIONS
from synthface.parametric.eyes import Gaze
from synthface.parametric.fields import smoothstep
from synthface.parametric.light import Lamps, lamps
from synthface.parametric.sensor import Sensor
from synthface.parametric.spectacles import Frame
from synthface.parametric.traits import Traits

_AT_REST = 0.14  # a trace of a smile: a face without it looks sullen


@dataclass(frozen=True)
class Situation:
    """A row of the nuisance matrix by name."""

    value: dict[str, float]

    @classmethod
    def of(cls, nuisance_M: NDArray[Any]) -> Situation:
        return cls(dict(zip(NUISANCE_DIMENSIONS, nuisance_M.tolist(), strict=True)))

    def __getitem__(self, name: str) -> float:
        return self.value[name]

    def apparent_age(self, t: Traits) -> float:
        """Years that the face shows."""
        return self["age"] + 4.0 * float(np.tanh(t.ageing))

    def worn(self, t: Traits) -> float:
        """0 for young skin, 1 at about 75 years."""
        return float(smoothstep(28, 86, self.apparent_age(t)))

    def expression_weights(self, t: Traits) -> NDArray[Any]:
        """In the order of `expression.FIELDS`."""
        weights = {name: self.value.get(name, 0.0) for name in expression.FIELDS}
        weights["smile"] = _AT_REST + (1 - _AT_REST) * weights["smile"]
        weights["ageing"] = 1.25 * self.worn(t)
        weights["beard_volume"] = t.beard * float(smoothstep(0.45, 1.0, self["beard_growth"]))
        return np.array(list(weights.values()), np.float32)

    def gaze(self, t: Traits) -> Gaze:
        squint = min(1.0, 0.70 * self["smile"] + 0.4 * self["frown"])
        return Gaze(
            blink=self["blink"],
            squint=squint,
            right=self["gaze_x"],
            up=self["gaze_y"],
            pupil=1.6 + 0.8 * self["light_fill"],
            makeup=self["makeup"],
            age=self.worn(t),
        )

    def hair_style(self, t: Traits) -> hair.Style:
        return hair.Style(hairline.recession_mm(t, self["age"]), self["hair_tied"], self["hair_tousle"])

    def lamps(self) -> Lamps:
        names = ("azimuth", "elevation", "hardness", "fill", "warmth", "rim")
        return lamps(*(self[f"light_{name}"] for name in names))

    def frame(self) -> Frame:
        names = ("width", "height", "roundness", "thickness", "shade", "tint")
        return Frame(*(self[f"glasses_{name}"] for name in names))

    def sensor(self) -> Sensor:
        return Sensor(**{name: self[name] for name in Sensor.__dataclass_fields__})
