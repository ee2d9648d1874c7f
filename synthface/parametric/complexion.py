"""The albedo of every visible point of a body: skin with all that is painted on it, eyes, mouth, mask and clothes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import eyes, hair, mouth
from synthface.parametric.atlas import HEAD_ROWS, TORSO
from synthface.parametric.background import colour as plain_colour
from synthface.parametric.fields import bump, groove, smoothstep
from synthface.parametric.light import Lamps
from synthface.parametric.noise import grains, sample, strands
from synthface.parametric.situation import Situation
from synthface.parametric.skin import BLOOD, WARMTH, tone_colour
from synthface.parametric.surface import Surface, turned, unit
from synthface.parametric.traits import Traits

Array = NDArray[Any]

_LIPSTICK = (0.36, 0.035, 0.055)
_MASK = (0.40, 0.54, 0.60)
_SHAVEN = 0.10  # of a beard that still darkens the skin
_SILVER = (0.36, 0.35, 0.34)


@dataclass
class Place:
    """Where the points of a body lie on it, P of them."""

    row: Array  # of the atlas
    column: Array
    x: Array  # canonical, mm
    y: Array
    azimuth: Array
    scalp: Array  # (4, P) the cap's strands here: across, along, distance into the hair, openness

    @cached_property
    def head(self) -> NDArray[Any]:
        return self.row < HEAD_ROWS - 0.5

    @cached_property
    def front(self) -> NDArray[Any]:
        return (np.abs(self.azimuth) < 1.47) & self.head

    @cached_property
    def torso(self) -> NDArray[Any]:
        return ~self.head & (self.column > TORSO.column - 1)


def apply(
    s: Surface, p: Place, pigment: Array, cover: Array, t: Traits, n: Situation, head_turn: Array, key: Array
) -> Array:
    """Fills albedo, gloss, openness and normals of `s`; gives the highlights in the eyes (P,)."""
    worn = n.worn(t)
    log_tone, slope = tone_colour(t.tone)
    base = log_tone + WARMTH * (2 * t.warmth - 1)
    melanin, blood, gloss, brow = pigment
    lip, beard, wrinkle, bristle = cover
    even = 1 - 0.75 * float(smoothstep(0.75, 1.0, t.tone))
    rosy = (0.50 + 0.62 * t.lip_colour) * (1 - 0.45 * t.tone) * (1 - 0.3 * worn) * 1.15
    melanin = melanin * even + lip * (0.10 - 0.05 * t.tone) + 0.02 * worn
    blood = blood * (1 - 0.35 * t.tone) + lip * rosy + 0.05 * worn
    made_up = lip * (n["makeup"] * 0.75 * (1 - t.male) ** 2)
    folded = wrinkle * (worn * 0.50 + 0.05)
    nostril = np.zeros_like(lip)
    under = np.flatnonzero((np.abs(p.y + 48) < 7) & (np.abs(p.x) < 16) & p.front)
    nostril[under] = 0.92 * bump(np.abs(p.x[under]), p.y[under], 6.2, -48.4, 3.4, 1.9)
    for k, fold, hole in ((0, 0.75, 0.85), (1, 1.0, 0.95), (2, 1.0, 0.95)):
        albedo = np.exp(melanin * slope[k] + blood * BLOOD[k] + base[k])
        albedo += (np.float32(_LIPSTICK[k] * (0.5 + 0.5 * (1 - t.tone))) - albedo) * made_up
        s.albedo[k] = albedo * (1 - folded * fold) * (1 - nostril * hole)
    s.gloss = gloss * (1 - 0.35 * worn) * (1 + 0.5 * lip) * (1 - nostril)
    _grow(s, p, brow, beard, bristle, t, n)
    _open_mouth(s, p, t, n)
    highlight = _look(s, p, t, n, head_turn, key)
    if n["mask"] >= 0.5:
        _wear_mask(s, p, head_turn)
        highlight[p.y < -16] = 0
    _dress(s, p, n)
    return highlight


def glint(light: Array, highlight: Array, lights: Lamps, brightness: float) -> None:
    """Adds the eyes' highlights (P,) to the light (3, P) of a face."""
    at = np.flatnonzero(highlight)
    for k in range(3):
        light[k, at] += highlight[at] * np.float32(0.6 * (lights.key_colour[k] + 0.3))


def _mix(s: Surface, colour: Any, share: Array, at: Any = slice(None)) -> None:
    for k in range(3):
        behind = s.albedo[k][at]
        s.albedo[k][at] = behind + (colour[k] - behind) * share
    s.gloss[at] = s.gloss[at] * (1 - 0.85 * share)


def _grow(s: Surface, p: Place, brow: Array, beard: Array, bristle: Array, t: Traits, n: Situation) -> None:
    """Brows, beard and the roots of the hair."""
    colour, grey = hair.colour(t, n["age"])
    silver = np.array(_SILVER, np.float32)
    facial = np.minimum(colour * 0.85, np.array([0.13, 0.085, 0.05], np.float32))
    brow_colour = facial + (silver * 0.7 - facial) * np.float32(0.55 * grey)
    at = np.flatnonzero(brow > 0.004)
    _mix(s, brow_colour, brow[at] * np.float32(1 - 0.25 * grey), at)

    growth = t.beard * (_SHAVEN + (1 - _SHAVEN) * n["beard_growth"])
    at = np.flatnonzero(beard > 0.004)
    if growth > 0.02 and len(at):
        beard, bristle = beard[at], bristle[at]
        full = float(smoothstep(0.3, 0.85, growth))
        stubble = 0.40 * min(1.0, growth * 2.2) * (1 - full) * (0.9 + 0.1 * np.clip(bristle, -1, 1))
        ragged = smoothstep(0.10, 0.90, beard + 0.06 * bristle)
        share = np.clip(beard * stubble + full * ragged * (0.86 + 0.05 * bristle), 0, 0.93)
        streak = np.clip(grey + 0.3 * grey * (1 - grey) * bristle, 0, 1)
        hairs = [
            f * (1.0 + 0.22 * np.clip(bristle, -1.6, 1.6)) * (1 - streak) + v * (0.8 + 0.15 * bristle) * streak
            for f, v in zip(facial, silver, strict=True)
        ]
        _mix(s, hairs, share, at)

    across, along, into, _ = p.scalp
    at = np.flatnonzero((into > -9) & p.head)
    stroke = sample(strands(), across[at] * 1.05, along[at] * 0.45)
    rooted = smoothstep(-5.0, 6.0, into[at] + 2.0 * stroke)
    shade = 0.75 + 0.2 * np.clip(stroke, -1.5, 1.5)
    _mix(s, [c * shade for c in colour + (silver - colour) * np.float32(0.85 * grey)], rooted * 0.92, at)
    s.open[at] *= 1 - 0.30 * smoothstep(-9, 0, into[at])


def _open_mouth(s: Surface, p: Place, t: Traits, n: Situation) -> None:
    at = mouth.near(p.x, p.y, p.front)
    if len(at):
        painted, inside = mouth.paint(
            p.x[at], p.y[at], s.albedo[:, at], n["jaw_open"], n["lips_parted"], n["smile"], 1 - 0.35 * t.tone
        )
        s.albedo[:, at] = painted
        s.gloss[at] *= 1 - 0.6 * inside
        s.normal[:, at] = unit(s.normal[:, at] + inside * (s.view[:, at] - s.normal[:, at]))
        s.open[at] += inside * (0.62 - s.open[at])


def _look(s: Surface, p: Place, t: Traits, n: Situation, head_turn: Array, key: Array) -> Array:
    """Puts the eyes in; gives their highlights."""
    gaze = n.gaze(t)
    e = eyes.paint(p.x, p.y, p.front, t, gaze)
    highlight = np.zeros_like(p.x)
    if not len(e.index):
        return highlight
    at = e.index
    skin = s.albedo[:, at] * e.dark
    lashes = np.minimum((e.dark[0] + e.dark[1] + e.dark[2]) / 3 + 0.05, 1)
    s.albedo[:, at] = skin + (e.albedo * lashes - skin) * e.cover
    s.normal[:, at] = unit(s.normal[:, at] + (turned(head_turn, e.normal) - s.normal[:, at]) * (e.cover * 0.85))
    s.gloss[at] = s.gloss[at] * (1 - e.cover) * e.dark[0]
    s.open[at] += e.cover * (0.86 - s.open[at])
    right, up, front = (float(v) for v in key @ head_turn)  # the lamp as the head sees it
    aim_x = 4.0 * min(max(right, -0.75), 0.75) + 5.5 * math.sin(math.radians(gaze.right))
    aim_y = 3.6 * min(max(up, -0.2), 0.8) + 5.5 * math.sin(math.radians(gaze.up))
    across, height = e.reflection
    spot = smoothstep(1.5, 0.5, np.hypot(across - aim_x, height - aim_y)) * min(max(front * 3 + 0.6, 0.0), 1.0)
    window = 0.16 * smoothstep(2.2, 0.8, np.hypot(across + 1.5, height - 2.4))
    highlight[at] = np.maximum(spot, window) * e.cover * e.wet
    return highlight


def _wear_mask(s: Surface, p: Place, head_turn: Array) -> None:
    side = np.abs(p.x)
    top = -17.0 - 0.22 * side + 6.0 * smoothstep(16, 0, side)
    cloth = smoothstep(0.6, -0.6, p.y - top) * smoothstep(-126, -122, p.y) * smoothstep(63, 61, side) * p.front
    strap = groove(side, p.y, [(60, -34), (72, -12)], 0.9) * (np.abs(p.azimuth) < 1.77) * p.head
    pleat = 1 - 0.12 * smoothstep(0.85, 1.0, np.cos((p.y + 64) * np.float32(2 * np.pi / 17.0))) * cloth
    weave = 1 + 0.03 * sample(grains(), p.x * 3, p.y * 3)
    share = np.maximum(cloth, 0.9 * strap)
    round_ = turned(head_turn, unit(np.stack([np.sin(p.azimuth), np.full_like(p.x, 0.1), np.cos(p.azimuth)])))
    s.normal = unit(s.normal + (round_ - s.normal) * (0.65 * cloth))
    s.open += cloth * (0.9 - s.open)
    _mix(s, [c * pleat * weave for c in _MASK], share)


def _dress(s: Surface, p: Place, n: Situation) -> None:
    cloth = np.flatnonzero(p.torso & (p.row - HEAD_ROWS > 3.0))
    if len(cloth):
        tone = plain_colour(n["clothes_hue"], n["clothes_saturation"], 0.08 + 0.8 * n["clothes_lightness"])
        s.albedo[:, cloth] = tone[:, None]
        s.gloss[cloth] = 0.0
