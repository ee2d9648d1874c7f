"""From drawn pictures to shots: crop, look, embed. Runs on threads beside the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.encoder import align, pose
from synthface.encoder.faces import Face
from synthface.identity import sphere
from synthface.recipe.pictures import CropRecipe
from synthface.render.halving import Halving
from synthface.render.networks import Networks
from synthface.render.sitting import Shot, Want

Image = NDArray[np.uint8]


class Drawn(NamedTuple):
    """A picture (side, side, 3) uint8 RGB as the generator made it."""

    want: Want
    image_HWC: Image


class Developer:
    """Turns drawn pictures into shots, in batches, which are halved when the device's memory ends. For several threads."""

    def __init__(self, networks: Networks, settings: CropRecipe) -> None:
        self.settings = settings
        self._encoder, self._verifier, self._finder = (
            None if network is None else Halving(what, network)
            for what, network in (
                ("encoder", networks.encoder),
                ("verifier", networks.verifier),
                ("detector", networks.finder),
            )
        )

    @property
    def halved(self) -> dict[str, int]:
        """Encoder, verifier, detector → the batch that fits, of those for which the memory has ended."""
        networks = (self._encoder, self._verifier, self._finder)
        return {one.what: one.halved for one in networks if one is not None and one.halved is not None}

    def __call__(self, drawn: Sequence[Drawn]) -> list[Shot]:
        """A shot of each picture."""
        faces = self._faces([one.image_HWC for one in drawn])
        cut = [self._cut(one.image_HWC, face) for one, face in zip(drawn, faces, strict=True)]
        crops = [crop for crop, _ in cut]
        embeddings = self._embed(self._encoder, crops)
        verified = self._embed(self._verifier, crops)
        shots = []
        for one, face, (crop, landmark_52), embedding_D, verified_V in zip(
            drawn, faces, cut, embeddings, verified, strict=True
        ):
            shots.append(
                Shot(
                    one.want,
                    crop,
                    embedding_D,
                    verified_V,
                    landmark_52,
                    None if face is None else face.score,
                    None if landmark_52 is None else pose.estimate(landmark_52),
                    None if crop is None else pose.sharpness(crop),
                )
            )
        return shots

    def _faces(self, images: Sequence[Image]) -> Sequence[Face | None]:
        if self._finder is None:
            return [None] * len(images)
        return self._finder(lambda finder, some: finder(some), images)

    def _cut(self, image_HWC: Image, face: Face | None) -> tuple[Image | None, NDArray[np.float32] | None]:
        """The crop and the five points in its pixels; None for what there is not."""
        size = self.settings.size
        if self.settings.align == "none":
            shrunk = np.float32(size / image_HWC.shape[1])
            return align.resized(image_HWC, size), None if face is None else face.landmark_52 * shrunk
        if face is None:
            return None, None
        transform_23 = align.similarity_transform(face.landmark_52, size)
        moved_52: NDArray[np.float64] = face.landmark_52.astype(np.float64) @ transform_23[:, :2].T + transform_23[:, 2]
        return align.warped(image_HWC, transform_23, size), moved_52.astype(np.float32)

    def _embed(self, encoder: Halving | None, crops: Sequence[Image | None]) -> list[NDArray[np.float32] | None]:
        """Unit rows; None where there is no crop or no encoder."""
        found: list[NDArray[np.float32] | None] = [None] * len(crops)
        here = [place for place, crop in enumerate(crops) if crop is not None]
        if encoder is None or not here:
            return found
        crop_BHWC = np.stack([crop for crop in crops if crop is not None])
        embedding_BD = np.stack(encoder(lambda network, some_BHWC: network.embed(some_BHWC), crop_BHWC))
        for place, unit_D in zip(here, sphere.unit_rows(embedding_BD), strict=True):
            found[place] = unit_D
        return found


def encode_jpeg(crop_HWC: Image, settings: CropRecipe) -> bytes:
    """A crop as baseline JPEG by libjpeg-turbo's slow, exact transform."""
    import simplejpeg

    subsampling = settings.jpeg_subsampling.replace(":", "")
    jpeg: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(crop_HWC), settings.jpeg_quality, "RGB", subsampling, False
    )
    return jpeg
