"""The albedo of every visible pixel of a body: skin with all that is painted on it, eyes, mouth, mask and clothes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import eyes, hair, mouth
from synthface.parametric.atlas import HEAD_ROWS, TORSO
from synthface.parametric.background import colour as plain_colour
from synthface.parametric.fields import bump, groove, smoothstep
from synthface.parametric.noise import grains, sample, strands
from synthface.parametric.situation import Situation
from synthface.parametric.skin import BLOOD, WARMTH, tone_colour
from synthface.parametric.surface import Surface, unit
from synthface.parametric.traits import Traits

Array = NDArray[Any]

_LIPSTICK = np.array([0.36, 0.035, 0.055], np.float32)
_MASK = np.array([0.50, 0.66, 0.72], np.float32)


@dataclass
class Place:
    """Where the pixels of a body lie on it, P of them."""

    row: Array  # of the atlas
    column: Array
    x: Array  # canonical, mm
    y: Array
    azimuth: Array
    scalp: Array  # (P, 4) the cap's strands here: across, along, distance into the hair, openness

    @property
    def front(self) -> NDArray[Any]:
        return (np.cos(self.azimuth) > 0.1) & (self.row < HEAD_ROWS - 0.5)

    @property
    def torso(self) -> NDArray[Any]:
        return (self.row > HEAD_ROWS - 0.5) & (self.column > TORSO.column - 1)


def apply(
    s: Surface, p: Place, pigment: Array, cover: Array, t: Traits, n: Situation, head_turn: Array, key: Array
) -> Array:
    """Fills albedo, gloss, openness and normals of `s`; gives the highlights in the eyes (P,)."""
    worn = n.worn(t)
    log_tone, slope = tone_colour(t.tone)
    base = log_tone + WARMTH * (2 * t.warmth - 1)
    melanin, blood, gloss, brow = pigment.T
    lip, beard, wrinkle, bristle = cover.T
    melanin = melanin * (1 - 0.75 * smoothstep(0.75, 1, t.tone)) + 0.02 * worn
    log_albedo = base + melanin[:, None] * slope + (blood * (1 - 0.35 * t.tone) + 0.05 * worn)[:, None] * BLOOD
    rosy = (0.34 + 0.62 * t.lip_colour) * (1 - 0.45 * t.tone) * (1 - 0.3 * worn)
    log_albedo += (lip * rosy)[:, None] * BLOOD * 1.15 + (lip * (0.10 - 0.05 * t.tone))[:, None] * slope
    s.albedo = np.exp(log_albedo).astype(np.float32)
    s.gloss = gloss * (1 - 0.35 * worn) * (1 + 0.5 * lip)

    made_up = lip * n["makeup"] * 0.75 * (1 - t.male)
    s.albedo += (_LIPSTICK * (0.5 + 0.5 * (1 - t.tone)) - s.albedo) * made_up[:, None]
    s.albedo *= 1 - (wrinkle * (worn * 0.50 + 0.05))[:, None] * np.array([0.75, 1, 1], np.float32)
    nostril = 0.88 * bump(np.abs(p.x), p.y, 6.0, -48.2, 3.1, 1.5) * p.front
    s.albedo *= 1 - nostril[:, None] * np.array([0.85, 0.95, 0.95], np.float32)
    s.gloss = s.gloss * (1 - nostril)
    _grow(s, p, brow, beard, bristle, t, n)
    _open_mouth(s, p, n)
    highlight = _look(s, p, t, n, head_turn, key)
    if n["mask"] >= 0.5:
        _wear_mask(s, p, head_turn)
        highlight[:] = np.where(p.y < -16, 0, highlight)
    _dress(s, p, n)
    return highlight


def _mix(s: Surface, colour: Array, share: Array) -> None:
    s.albedo += (colour - s.albedo) * share[:, None]
    s.gloss = s.gloss * (1 - 0.85 * share)


def _grow(s: Surface, p: Place, brow: Array, beard: Array, bristle: Array, t: Traits, n: Situation) -> None:
    """Brows, beard and the roots of the hair."""
    colour, grey = hair.colour(t, n["age"])
    silver = np.array([0.36, 0.35, 0.34], np.float32)
    facial = np.minimum(colour * 0.85, np.array([0.13, 0.085, 0.05], np.float32))
    brow_colour = facial + (silver * 0.7 - facial) * np.float32(0.55 * grey)
    _mix(s, brow_colour, brow * np.float32(1 - 0.25 * grey))

    growth = t.beard * n["beard_growth"]
    if growth > 0.02:
        full = float(smoothstep(0.35, 0.8, growth))
        stubble = 0.52 * min(1.0, growth * 2.4) * (1 - full) * (0.75 + 0.25 * np.clip(bristle, -1, 1))
        ragged = smoothstep(0.28, 0.62, beard + 0.10 * bristle)
        share = np.clip(beard * stubble + full * ragged * (0.88 + 0.08 * bristle), 0, 0.97)
        hairs = facial * (1.0 + 0.45 * np.clip(bristle, -1.6, 1.6))[:, None]
        streak = np.clip(grey * 1.1 + 0.25 * grey * bristle, 0, 1)[:, None]
        _mix(s, hairs + (silver * (0.8 + 0.2 * bristle[:, None]) - hairs) * streak, share)

    across, along, into = p.scalp[:, 0], p.scalp[:, 1], p.scalp[:, 2]
    stroke = sample(strands(), across * 4.0, along * 1.5)
    rooted = smoothstep(-2.0, 5.0, into + 2.2 * stroke) * (p.row < HEAD_ROWS - 0.5)
    scalp_colour = (colour + (silver - colour) * np.float32(0.85 * grey)) * (0.75 + 0.2 * np.clip(stroke, -1.5, 1.5))[
        :, None
    ]
    _mix(s, scalp_colour.astype(np.float32), rooted * 0.92)
    s.open *= 1 - 0.30 * smoothstep(-9, 0, into) * (p.row < HEAD_ROWS - 0.5)


def _open_mouth(s: Surface, p: Place, n: Situation) -> None:
    at = mouth.near(p.x, p.y, p.front)
    if len(at):
        s.albedo[at], inside = mouth.paint(p.x[at], p.y[at], s.albedo[at], n["jaw_open"], n["lips_parted"], n["smile"])
        s.gloss[at] *= 1 - 0.6 * inside
        s.normal[at] = unit(s.normal[at] + inside[:, None] * (s.view[at] - s.normal[at]))
        s.open[at] += inside * (0.62 - s.open[at])


def _look(s: Surface, p: Place, t: Traits, n: Situation, head_turn: Array, key: Array) -> Array:
    """Puts the eyes in; gives their highlights."""
    e = eyes.paint(p.x, p.y, p.front, t, n.gaze(t))
    highlight = np.zeros(len(p.x), np.float32)
    if not len(e.index):
        return highlight
    at, cover = e.index, e.cover[:, None]
    skin = s.albedo[at] * e.dark
    lashes = np.minimum(e.dark.mean(axis=1, keepdims=True) + 0.05, 1)
    s.albedo[at] = skin + (e.albedo * lashes - skin) * cover
    s.normal[at] = unit(s.normal[at] + (e.normal @ head_turn.T - s.normal[at]) * cover * 0.85)
    s.gloss[at] = s.gloss[at] * (1 - e.cover) * e.dark[:, 0]
    s.open[at] += e.cover * (0.86 - s.open[at])
    local = key @ head_turn  # the lamp as the head sees it
    gaze = n.gaze(t)
    aim_x = 4.0 * np.clip(local[0], -0.75, 0.75) + 5.5 * np.sin(np.radians(gaze.right))
    aim_y = 3.6 * np.clip(local[1], -0.2, 0.8) + 5.5 * np.sin(np.radians(gaze.up))
    spot = smoothstep(1.75, 0.6, np.hypot(e.reflection[:, 0] - aim_x, e.reflection[:, 1] - aim_y))
    window = 0.16 * smoothstep(2.2, 0.8, np.hypot(e.reflection[:, 0] + 1.5, e.reflection[:, 1] - 2.4))
    highlight[at] = np.maximum(spot * np.clip(local[2] * 3 + 0.6, 0, 1), window) * e.cover * e.wet
    return highlight


def _wear_mask(s: Surface, p: Place, head_turn: Array) -> None:
    side = np.abs(p.x)
    top = -17.0 - 0.22 * side + 6.0 * smoothstep(16, 0, side)
    cloth = smoothstep(0.6, -0.6, p.y - top) * smoothstep(-126, -122, p.y) * smoothstep(63, 61, side) * p.front
    strap = groove(side, p.y, [(60, -34), (72, -12)], 0.9) * (np.cos(p.azimuth) > -0.2) * (p.row < HEAD_ROWS)
    pleat = 1 - 0.12 * smoothstep(0.85, 1.0, np.cos((p.y + 64) * 2 * np.pi / 17.0)) * cloth
    weave = 1 + 0.03 * sample(grains(), p.x * 3, p.y * 3)
    share = np.maximum(cloth, 0.9 * strap)
    smooth = unit(np.stack([np.sin(p.azimuth), 0.1 + 0 * p.x, np.cos(p.azimuth)], 1).astype(np.float32)) @ head_turn.T
    s.normal[:] = unit(s.normal + (smooth - s.normal) * (0.65 * cloth)[:, None])
    s.open += cloth * (0.9 - s.open)
    _mix(s, _MASK * (pleat * weave)[:, None], share)


def _dress(s: Surface, p: Place, n: Situation) -> None:
    neckline = (p.row - HEAD_ROWS) > 1.2
    cloth = p.torso & neckline
    if cloth.any():
        tone = plain_colour(n["clothes_hue"], n["clothes_saturation"], 0.08 + 0.8 * n["clothes_lightness"])
        s.albedo[cloth] = tone
        s.gloss[cloth] = 0.0
