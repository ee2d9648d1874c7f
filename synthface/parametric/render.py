"""Pictures of people: (identity, nuisance, seed) → a 112-px norm-cropped RGB face with exact landmarks and pose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthface.parametric import background, body, complexion, hair, hairline, noise, skin, spectacles, traits
from synthface.parametric.atlas import COLUMNS, HEAD, HEAD_ROWS, ROWS, TEXELS_PER_VERTEX, TORSO
from synthface.parametric.camera import CROP_SIDE, PIVOT, Camera, aim, rotation
from synthface.parametric.dimensions import check_identity, check_nuisance, nuisance_index
from synthface.parametric.fields import smoothstep
from synthface.parametric.light import Lamps, ShadowMap
from synthface.parametric.raster import Layer
from synthface.parametric.situation import Situation
from synthface.parametric.surface import Surface, shade_hair, shade_skin, unit

Array = NDArray[Any]

SUPERSAMPLING = 2
SIDE = CROP_SIDE * SUPERSAMPLING


@dataclass(frozen=True)
class Rendering:
    """N pictures and the truth about them."""

    image_NHWC: NDArray[Any]  # (N, 112, 112, 3) RGB
    landmarks_N52: Array  # px: pupils, tip of the nose, corners of the mouth; left of the picture first
    pose_N3: Array  # degrees: yaw, pitch, roll
    age_N: Array  # years


@dataclass(frozen=True)
class _Person:
    """What stays the same in all pictures of one person."""

    traits: traits.Traits
    head: Array
    paint: skin.Paint


@lru_cache(maxsize=4)
def _person(identity: bytes) -> _Person:
    someone = traits.traits(np.frombuffer(identity, np.float64))
    return _Person(someone, body.neutral(someone), skin.paint(someone))


def render(identity_ND: NDArray[Any], nuisance_NM: NDArray[Any], seed_N: NDArray[Any]) -> Rendering:
    """One picture a row; a row's picture does not depend on the other rows.

    `identity_ND` (N, 64) standard normal, `nuisance_NM` (N, M) in the units of `dimensions.NUISANCES` (values beyond
    their ranges are clipped), `seed_N` (N,) draws the sensor's noise and nothing else.
    Raises UsageError for wrong shapes and for numbers that are not finite.
    """
    identity, nuisance = check_identity(identity_ND), check_nuisance(nuisance_NM)
    count = len(identity)
    if len(nuisance) != count or len(seed_N) != count:
        from synthface.errors import UsageError

        raise UsageError(f"{count} identities, {len(nuisance)} nuisances and {len(seed_N)} seeds do not match.")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the work is cut by pictures, not inside them
    try:
        drawn = [
            _picture(_person(identity[k].tobytes()), Situation.of(nuisance[k]), int(seed_N[k])) for k in range(count)
        ]
    finally:
        cv2.setNumThreads(threads)
    pose = nuisance[:, [nuisance_index(name) for name in ("yaw", "pitch", "roll")]]
    return Rendering(
        np.stack([image for image, _ in drawn]) if drawn else np.zeros((0, CROP_SIDE, CROP_SIDE, 3), np.uint8),
        np.array([points for _, points in drawn], np.float32).reshape(count, 5, 2),
        pose.astype(np.float32),
        nuisance[:, nuisance_index("age")].astype(np.float32),
    )


def _picture(person: _Person, n: Situation, seed: int) -> tuple[NDArray[Any], Array]:
    t = person.traits
    model = body.build(person.head, t, n.expression_weights(t))
    camera = aim(
        model.landmarks,
        (n["yaw"], n["pitch"], n["roll"]),
        n["distance"],
        (n["crop_x"], n["crop_y"], n["crop_scale"], n["crop_roll"]),
    )
    landmarks = camera.project(camera.turn(model.landmarks))[:, :2]
    room, normal = _stand(model, camera, n)
    locks = hair.build(model.position[HEAD.where], t, n.hair_style(t))
    hair_room = camera.turn(locks.position.reshape(-1, 3))
    lights = n.lamps()
    occluders = np.concatenate([body.coarse_triangles(), locks.triangles + ROWS * COLUMNS])
    shadows = ShadowMap(lights, np.concatenate([room, hair_room]), occluders)

    light = _backdrop(n)
    depth, brightness = _draw_body(light, person, room, normal, locks, camera, n, lights, shadows)
    _draw_hair(light, depth, locks, hair_room, camera, t, n, lights, shadows)
    if n["glasses"] >= 0.5:
        _draw_glasses(light, depth, model, camera, n, lights)
    target = 0.235 * (0.30 + 0.70 * (1 - t.tone) ** 0.9)
    light *= np.float32((target / max(brightness, 1e-3)) ** 0.85)
    if n["occluder"] >= 0.5:
        _draw_occluder(light, n)
    from synthface.parametric.sensor import capture

    return capture(light, n.sensor(), seed), landmarks


def _stand(model: body.Body, camera: Camera, n: Situation) -> tuple[Array, Array]:
    """The body in the room: the head turned on shoulders that follow it a little."""
    room = camera.turn(model.position.reshape(-1, 3)).reshape(model.position.shape)
    normal = (model.normal.reshape(-1, 3) @ camera.head.T).reshape(model.normal.shape)
    half = rotation(0.55 * n["yaw"], 0.1 * n["pitch"], 0.25 * n["roll"]).astype(np.float32)
    room[TORSO.where] = (model.position[TORSO.where] - PIVOT.astype(np.float32)) @ half.T
    normal[TORSO.where] = model.normal[TORSO.where] @ half.T
    return room.reshape(-1, 3), normal.reshape(-1, 3)


def _backdrop(n: Situation) -> Array:
    tone = background.colour(n["background_hue"], n["background_saturation"], 0.06 + 0.86 * n["background_lightness"])
    small = background.build(
        CROP_SIDE,
        n["background_x"],
        n["background_y"],
        n["background_scale"],
        tone,
        n["background_contrast"],
        n["background_blur"],
    )
    return cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def _draw_body(
    light: Array,
    person: _Person,
    room: Array,
    normal: Array,
    locks: hair.Hair,
    camera: Camera,
    n: Situation,
    lights: Lamps,
    shadows: ShadowMap,
) -> tuple[Array, float]:
    """Shades the body into `light`; gives the depth buffer and the mean brightness of the face."""
    layer = Layer(SIDE)
    layer.draw(camera.project(room, SUPERSAMPLING), body.triangles(), body.address())
    index = np.flatnonzero(layer.covered_HW)
    address = layer.value_HW3.reshape(-1, 3)[index]
    column, row = address[:, 0] * (COLUMNS - 1), address[:, 1] * (ROWS - 1)
    at = noise.lookup(room.reshape(ROWS, COLUMNS, 3), column, row)
    x, y, azimuth, openness = noise.lookup(body.coordinates(), column, row).T
    scalp = hairline.scalp()
    rows, columns = scalp.canon.x.shape
    strand = noise.lookup(
        np.ascontiguousarray(locks.strand[:rows, :columns]), column / 2, np.minimum(row / 2, rows - 1)
    )
    strand[row > HEAD_ROWS - 0.5, 2] = -50.0
    surface = Surface(
        index=index,
        room=at,
        normal=unit(noise.lookup(normal.reshape(ROWS, COLUMNS, 3), column, row)),
        view=unit(np.array([0, 0, camera.distance], np.float32) - at),
        albedo=np.empty_like(at),
        gloss=np.empty_like(x),
        open=openness,
    )
    k = TEXELS_PER_VERTEX
    highlight = complexion.apply(
        surface,
        complexion.Place(row, column, x, y, azimuth, strand),
        noise.lookup(person.paint.pigment, column * k, row * k),
        noise.lookup(person.paint.cover, column * k, row * k),
        person.traits,
        n,
        camera.head,
        lights.key,
    )
    shaded = shade_skin(surface, lights, shadows) + (0.9 * highlight)[:, None] * (lights.key_colour + 0.3)
    light.reshape(-1, 3)[index] = shaded
    face = (np.cos(azimuth) > 0.3) & (y > -105) & (y < 55) & (np.abs(x) < 60)
    brightness = float(shaded[face].mean()) if face.any() else 0.2
    return layer.depth_HW, brightness


def _draw_hair(
    light: Array,
    depth: Array,
    locks: hair.Hair,
    room: Array,
    camera: Camera,
    t: traits.Traits,
    n: Situation,
    lights: Lamps,
    shadows: ShadowMap,
) -> None:
    """The dense sheet, and over it a sparse one of single strands that breaks the outline."""
    if not len(locks.triangles):
        return
    height, width = locks.position.shape[:2]
    row, column = np.meshgrid(np.arange(height) / (height - 1), np.arange(width) / (width - 1), indexing="ij")
    address = np.stack([column, row, 0 * row], -1).reshape(-1, 3).astype(np.float32)
    colour, grey = hair.colour(t, n["age"])
    normal = (locks.normal.reshape(-1, 3) @ camera.head.T).astype(np.float32)
    tangent = (locks.tangent.reshape(-1, 3) @ camera.head.T).astype(np.float32)
    for outer in (False, True):
        raised = room + normal * np.float32(1.6 + 2.2 * t.hair_curl) if outer else room
        layer = Layer(SIDE)
        layer.draw(camera.project(raised, SUPERSAMPLING), locks.triangles, address, two_sided=True)
        index = np.flatnonzero(layer.depth_HW < depth)
        if not len(index):
            continue
        place = layer.value_HW3.reshape(-1, 3)[index]
        c, r = place[:, 0] * (width - 1), place[:, 1] * (height - 1)
        across, along, into, openness = noise.lookup(locks.strand, c, r).T
        fine = noise.sample(noise.strands(), across * 3.2, along * 0.8 + 17 * outer)
        lock = noise.sample(noise.locks(), across * 1.3 + 25 * np.float32(n["hair_tousle"]), along * 0.6)
        curl = noise.sample(noise.curls(), across * 2.4, along * 2.4)
        smooth = np.float32(1 - t.hair_curl)
        grain = fine * smooth + curl * (1 - smooth)
        cover = smoothstep(-1.5, 2.5, into + 2.6 * grain)
        if outer:
            cover = cover * smoothstep(0.45, 1.1, grain) * 0.75
        else:
            cover = cover * 0.985
        at = noise.lookup(room.reshape(height, width, 3), c, r)
        facing = unit(noise.lookup(normal.reshape(height, width, 3), c, r))
        view = unit(np.array([0, 0, camera.distance], np.float32) - at)
        facing *= np.where(np.einsum("pk,pk->p", facing, view) < 0, -1, 1)[:, None].astype(np.float32)
        direction = noise.lookup(tangent.reshape(height, width, 3), c, r)
        bend = np.stack([0.25 * lock, 0.12 * fine, 0.3 * curl * (1 - smooth)], 1)
        tone = (0.86 + 0.20 * grain + 0.12 * lock).clip(0.35, 1.6)
        silver = np.clip(grey * 1.15 + 0.35 * grey * (1 - grey) * fine, 0, 1)[:, None]
        albedo = (colour + (np.array([0.40, 0.39, 0.375], np.float32) - colour) * silver) * tone[:, None]
        surface = Surface(
            index,
            at,
            unit(facing + bend * np.float32(0.9)),
            view,
            albedo.astype(np.float32),
            np.zeros_like(across),
            (openness * (0.62 + 0.38 * np.clip(0.5 + 0.4 * grain, 0, 1))).astype(np.float32),
        )
        variation = 0.6 * fine + 0.4 * lock
        shine = 0.9 - 0.65 * t.hair_curl
        shaded = shade_hair(surface, unit(direction + 0.4 * bend), variation, shine, lights, shadows)
        flat = light.reshape(-1, 3)
        flat[index] += (shaded - flat[index]) * cover[:, None].astype(np.float32)
        if not outer:
            solid = index[cover > 0.5]
            depth.reshape(-1)[solid] = layer.depth_HW.reshape(-1)[solid]


def _draw_glasses(light: Array, depth: Array, model: body.Body, camera: Camera, n: Situation, lights: Lamps) -> None:
    frame = n.frame()
    head = model.position[HEAD.where]
    bridge = head[:, HEAD.columns // 2]
    bridge_z = float(bridge[np.abs(bridge[:, 1] - model.landmarks[:2, 1].mean()).argmin(), 2])
    mesh, panes = spectacles.build(model.landmarks, bridge_z, float(spectacles.SITE[1]), frame)
    for part, is_frame in ((panes, False), (mesh, True)):
        layer = Layer(SIDE)
        screen = camera.project(camera.turn(part.position), SUPERSAMPLING)
        layer.draw(screen, part.triangles, (part.normal * 0.5 + 0.5).astype(np.float32), two_sided=True)
        index = np.flatnonzero(layer.depth_HW < depth)
        flat = light.reshape(-1, 3)
        normal = unit(layer.value_HW3.reshape(-1, 3)[index] * 2 - 1) @ camera.head.T
        glint = np.maximum(normal @ unit(lights.key[None] + np.array([[0, 0, 1]], np.float32))[0], 0)
        if is_frame:
            metal = np.float32(0.012 + 0.30 * frame.shade**2) * np.array([1.0, 0.9, 0.74], np.float32)
            lit = np.maximum(normal @ lights.key, 0) * 0.8 + 0.45
            flat[index] = metal * lit[:, None] + (0.35 * glint**24)[:, None] * lights.key_colour
        else:
            clear = 1 - 0.93 * frame.tint
            flat[index] = flat[index] * clear + 0.016 * (lights.sky + lights.key_colour * (glint**6)[:, None])


def _draw_occluder(light: Array, n: Situation) -> None:
    """Something held before the face: a rounded block, lit from above."""
    row, column = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SUPERSAMPLING
    angle = np.radians(n["occluder_angle"])
    dx, dy = column - n["occluder_x"], row - n["occluder_y"]
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / n["occluder_size"]
    v = (-dx * np.sin(angle) + dy * np.cos(angle)) / (n["occluder_size"] * 2 ** n["occluder_aspect"])
    radius = (np.abs(u) ** 3.5 + np.abs(v) ** 3.5) ** (1 / 3.5)
    cover = smoothstep(1.03, 0.97, radius)[..., None]
    tone = background.colour(n["occluder_hue"], 0.35, 0.1 + 0.75 * n["occluder_lightness"])
    grain = 1 + 0.08 * noise.sample(noise.blotches(), u * 40, v * 40)
    shade = (0.75 - 0.25 * v - 0.12 * u) * (1 - 0.35 * smoothstep(0.6, 1.0, radius)) * grain
    light += (tone * shade[..., None].astype(np.float32) * 0.9 - light) * cover.astype(np.float32)
