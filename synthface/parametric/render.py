"""Pictures of people: (identity, nuisance, seed) → a 112-px norm-cropped RGB face with exact landmarks and pose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthface.errors import UsageError
from synthface.parametric import body, draw_body, draw_hair, draw_things, hair, skin, traits
from synthface.parametric.atlas import HEAD
from synthface.parametric.camera import CROP_SIDE, aim
from synthface.parametric.dimensions import check_identity, check_nuisance, nuisance_index
from synthface.parametric.light import ShadowMap
from synthface.parametric.sampling import SUPERSAMPLING
from synthface.parametric.sensor import capture
from synthface.parametric.situation import Situation

Array = NDArray[Any]


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
    body: body.Body
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
    model = body.expressed(person.body, n.expression_weights(t))
    camera = aim(
        model.landmarks,
        (n["yaw"], n["pitch"], n["roll"]),
        n["distance"],
        (n["crop_x"], n["crop_y"], n["crop_scale"], n["crop_roll"]),
    )
    landmarks = camera.project(camera.turn(model.landmarks))[:, :2]
    room = draw_body.stand(model, camera, n)
    locks = hair.build(model.position[HEAD.where], t, n.hair_style(t))
    hair_room = camera.turn(locks.position.reshape(-1, 3))
    lights = n.lamps()
    vertices, triangles = body.shadow_mesh()
    shadows = ShadowMap(
        lights,
        np.concatenate([room[vertices], hair_room[locks.shadow_vertices]]),
        np.concatenate([triangles, locks.shadow_triangles + np.int32(len(vertices))]),
    )

    light = draw_things.backdrop(n)
    layer = draw_body.rasterise(room, camera, light.shape[1])
    strands = draw_hair.rasterise(locks, hair_room, layer, camera, t, n)
    visible = layer.covered_HW & ~draw_hair.hidden(strands)
    brightness = draw_body.draw(light, layer, visible, t, person.paint, model, room, locks, camera, n, lights, shadows)
    depth = layer.depth_HW
    draw_hair.draw(light, depth, strands, locks, camera, t, n, lights, shadows)
    if n["glasses"] >= 0.5:
        draw_things.draw_glasses(light, depth, model, camera, n, lights)
    light *= skin.exposure(t, brightness)
    if n["occluder"] >= 0.5:
        draw_things.draw_occluder(light, n)
    return capture(_develop(light), n.sensor(), seed), landmarks


def _develop(light_3HW: Array) -> Array:
    """Averages the points of each pixel, (3, H, W) → (112, 112, 3)."""
    k = SUPERSAMPLING
    points = [light_3HW[:, i::k, j::k] for i in range(k) for j in range(k)]
    mean_3HW = np.add.reduce(points) * np.float32(1 / k**2)
    return cv2.merge(list(mean_3HW))
