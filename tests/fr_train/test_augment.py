"""Augmentations: what each one does to pixels, how often, and that numbers depend on nothing but their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from small_world import face
from torchvision.transforms import InterpolationMode, autoaugment

from fr_train.data import augment as augmentations
from fr_train.data import rand_augment
from fr_train.data.augment import augment
from fr_train.data.draws import uniform
from synthface.recipe.recognition import AugmentRecipe

OFF = AugmentRecipe(flip=0.0, crop=0.0, low_resolution=0.0, photometric=0.0)
ALL = AugmentRecipe(flip=0.5, crop=0.5, low_resolution=0.5, photometric=0.5, rand_augment=2, random_erasing=0.5)


def faces(number: int) -> np.ndarray:
    return np.stack([face(person, 0) for person in range(number)])


def only(**values: Any) -> AugmentRecipe:
    return OFF.model_copy(update=values)


@given(
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 1000),
    positions=st.lists(st.integers(0, 2**40), min_size=1, max_size=20),
    draws=st.integers(1, 30),
)
def test_a_number_depends_on_its_position_and_not_on_its_company(
    seed: int, epoch: int, positions: list[int], draws: int
) -> None:
    together = uniform(seed, epoch, "crop", np.array(positions), draws)
    assert together.shape == (len(positions), draws)
    assert ((together >= 0) & (together < 1)).all()
    alone = np.concatenate([uniform(seed, epoch, "crop", np.array([position]), draws) for position in positions])
    assert np.array_equal(together, alone)
    longer = uniform(seed, epoch, "crop", np.array(positions), draws + 5)
    assert np.array_equal(longer[:, :draws], together)


def test_numbers_are_uniform_and_uncorrelated() -> None:
    draw_NK = uniform(3, 0, "crop", np.arange(20_000), 4)
    assert abs(draw_NK.mean() - 0.5) < 0.005
    counts = np.histogram(draw_NK, bins=16, range=(0, 1))[0]
    assert ((counts - 5_000) ** 2 / 5_000).sum() < 40  # χ² with 15 degrees of freedom
    others = [uniform(3, 0, "flip", np.arange(20_000), 1), uniform(3, 1, "crop", np.arange(20_000), 1)]
    columns = [*draw_NK.T, *(other[:, 0] for other in others), draw_NK[np.arange(20_000) - 1, 0]]
    correlation = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlation).max() < 0.04


def test_nothing_changes_when_everything_is_off() -> None:
    image_BHWC = faces(4)
    augment(image_BHWC, np.arange(4), OFF, 0, 0)
    assert np.array_equal(image_BHWC, faces(4))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 50), cut=st.integers(1, 7))
def test_an_image_is_augmented_alike_in_any_batch(seed: int, epoch: int, cut: int) -> None:
    together, parts = faces(8), faces(8)
    augment(together, np.arange(100, 108), ALL, seed, epoch)
    augment(parts[:cut], np.arange(100, 100 + cut), ALL, seed, epoch)
    augment(parts[cut:], np.arange(100 + cut, 108), ALL, seed, epoch)
    assert np.array_equal(together, parts)


def test_epochs_augment_anew() -> None:
    first, second = faces(16), faces(16)
    augment(first, np.arange(16), ALL, 0, 0)
    augment(second, np.arange(16), ALL, 0, 1)
    assert sum(not np.array_equal(a, b) for a, b in zip(first, second, strict=True)) > 12


@pytest.mark.parametrize("which", ["flip", "crop", "low_resolution", "photometric", "random_erasing"])
def test_each_augmentation_comes_with_its_probability(which: str) -> None:
    number = 400
    before = np.repeat(faces(1), number, axis=0)
    after = before.copy()
    augment(after, np.arange(number), only(**{which: 0.2}), 0, 0)
    share = np.mean([not np.array_equal(a, b) for a, b in zip(before, after, strict=True)])
    assert 0.14 < share < 0.27


def test_whether_one_is_on_does_not_move_another() -> None:
    flips = []
    for recipe in (only(flip=0.5), only(flip=0.5, random_erasing=1e-9, crop=1e-9)):
        image_BHWC = faces(32)
        augment(image_BHWC, np.arange(32), recipe, 5, 2)
        flips.append(image_BHWC)
    assert np.array_equal(*flips)


def test_flip_mirrors_left_and_right() -> None:
    image_BHWC = faces(3)
    augment(image_BHWC, np.arange(3), only(flip=1.0), 0, 0)
    assert np.array_equal(image_BHWC, faces(3)[:, :, ::-1])


def test_crop_keeps_a_rectangle_in_its_place_and_blackens_the_rest() -> None:
    for seed in range(30):
        before = face(seed, 0).clip(1)
        after = before.copy()
        augmentations.crop(after, uniform(seed, 0, "crop", np.array([0]), 22)[0])
        kept = (after != 0).any(axis=2)
        rows, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
        window = np.ix_(range(rows[0], rows[-1] + 1), range(columns[0], columns[-1] + 1))
        assert kept[window].all()
        assert np.array_equal(after[window], before[window])
        assert 0.19 <= kept.mean() <= 1.0
        assert 0.7 < len(columns) / len(rows) < 1.4


def test_low_resolution_keeps_the_coarse_picture_and_loses_the_fine_one() -> None:
    rough = 0
    for seed in range(20):
        before = face(seed, 0)
        after = before.copy()
        augmentations.low_resolution(after, np.array([0.1, (seed % 5 + 0.5) / 5, 0.3]))
        coarse_before, coarse_after = (
            cv2.resize(one, (4, 4), interpolation=cv2.INTER_AREA).astype(int) for one in (before, after)
        )
        assert np.abs(coarse_before - coarse_after).mean() < 20
        rough += np.abs(np.diff(after.astype(int), axis=1)).mean() < np.abs(np.diff(before.astype(int), axis=1)).mean()
    assert rough == 20


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (augmentations.brightness, ImageEnhance.Brightness),
        (augmentations.contrast, ImageEnhance.Contrast),
        (augmentations.saturation, ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.5])
def test_photometric_changes_are_pils(
    ours: Callable[[np.ndarray, float], None], theirs: Callable[[Image.Image], Any], factor: float
) -> None:
    image_HWC = face(3, 1)
    expected = np.asarray(theirs(Image.fromarray(image_HWC)).enhance(factor)).astype(int)
    ours(image_HWC, factor)
    assert np.abs(image_HWC.astype(int) - expected).max() <= 2  # rounding instead of truncation


def test_erasing_fills_a_rectangle_with_one_colour() -> None:
    for seed in range(20):
        before = face(seed, 0)
        after = before.copy()
        augmentations.erase(after, uniform(seed, 0, "erasing", np.array([0]), 25)[0])
        changed = (after != before).any(axis=2)
        colours = np.unique(after[changed], axis=0)
        assert len(colours) == 1
        assert 0.015 < changed.mean() < 0.35


@pytest.mark.parametrize("magnitude", [1, 8, 9, 10, 20, 30])
def test_rand_augment_operations_are_torchvisions(magnitude: int) -> None:
    """All fourteen, both signs, to the bit; the four that blend two pictures to one level, for torchvision's table is float32."""
    image_HWC, names = face(4, 0), [name.replace("_", "") for name in rand_augment._OPERATIONS]
    table = autoaugment.RandAugment()._augmentation_space(rand_augment.MAGNITUDES + 1, image_HWC.shape[:2])
    assert {name.lower() for name in table} == set(names)
    for name, (strengths, signed) in table.items():
        which = (names.index(name.lower()) + 0.5) / len(names)
        strength = float(strengths[magnitude]) if strengths.ndim else 0.0
        for sign, draw in ((1, 0.9), (-1, 0.1)):
            found = image_HWC.copy()
            rand_augment.rand_augment(found, np.array([which, draw]), magnitude)
            given = sign * strength if signed else strength
            expected = autoaugment._apply_op(Image.fromarray(image_HWC), name, given, InterpolationMode.NEAREST, None)
            blends = name in ("Brightness", "Color", "Contrast", "Sharpness")
            assert np.abs(found.astype(int) - np.asarray(expected)).max() <= blends, (name, sign)


def test_every_rand_augment_operation_runs_in_both_directions_and_keeps_the_shape() -> None:
    names = list(rand_augment._OPERATIONS)
    for number, name in enumerate(names):
        for sign in (0.1, 0.9):
            image_HWC = face(5, 0)
            rand_augment.rand_augment(image_HWC, np.array([(number + 0.5) / len(names), sign]), magnitude=20)
            same = np.array_equal(image_HWC, face(5, 0))
            assert same == (name == "identity"), name
