"""Lots: filled across identities, of one size, and the same picture in any of them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthface.errors import ResourceError
from synthface.generator import Arc2Face
from synthface.recipe.pictures import CropRecipe
from synthface.render.desk import Desk, Stopped
from synthface.render.develop import Drawn, encode_jpeg
from synthface.render.draw import Drawer
from synthface.render.sitting import Shot, Sitting

IMAGE = np.zeros((4, 4, 3), np.uint8)


def sittings(*counts: int) -> list[Sitting]:
    return [Sitting(identity, np.zeros((count, 2), np.float32)) for identity, count in enumerate(counts)]


def develop(desk: Desk, batch: int, refuse: set[tuple[int, int, int]] = frozenset()) -> None:  # type: ignore[assignment]
    """One step of a developer whose gate refuses the attempts `refuse`."""
    for sitting in desk.add_shots([Shot(one.want, IMAGE) for one in desk.take_drawn(batch)]):
        before = len(sitting.open)
        for image, one in list(sitting.shots.items()):
            if tuple(one.want) not in refuse:
                sitting.open.remove(image)
        sitting.shots.clear()
        sitting.round += 1
        desk.settle(sitting, before - len(sitting.open))


def draw(desk: Desk, size: int) -> list[tuple[int, int, int]]:
    lot = desk.take_lot(size)
    desk.put_drawn([Drawn(want, IMAGE) for want, _ in lot], 8)
    return [tuple(want) for want, _ in lot]


def test_lots_are_full_across_identities_and_only_the_last_is_not() -> None:
    desk = Desk()
    desk.add(sittings(3, 5, 1, 4))
    desk.no_more()
    lots = [draw(desk, 4) for _ in range(3)]
    assert [len(lot) for lot in lots] == [4, 4, 4]
    assert lots[0] == [(0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 0, 0)]
    develop(desk, 12)
    assert draw(desk, 4) == [(3, 3, 0)]


def test_retries_of_several_identities_fill_one_lot_before_new_images() -> None:
    desk = Desk()
    desk.add(sittings(2, 2, 4, 4))
    desk.no_more()
    refuse = {(0, 1, 0), (1, 0, 0)}
    draw(desk, 4)
    develop(desk, 4, refuse)
    assert draw(desk, 4) == [(1, 0, 1), (0, 1, 1), (2, 0, 0), (2, 1, 0)]


def test_a_lot_waits_for_what_is_being_judged_and_not_for_ever() -> None:
    desk = Desk()
    desk.add(sittings(4))
    desk.no_more()
    draw(desk, 4)
    lots: list[Any] = []
    thread = threading.Thread(target=lambda: lots.extend([draw(desk, 4), draw(desk, 4)]))
    thread.start()
    develop(desk, 8, {(0, 2, 0)})  # fewer than 8, because the device is waiting
    develop(desk, 8)
    thread.join(30)
    assert lots == [[(0, 2, 1)], []]
    finished = desk.finished(0, 5)
    assert finished is not None
    assert not finished.open
    assert desk.settled == 4


def test_stopping_ends_every_wait_and_hands_the_error_on() -> None:
    desk = Desk()
    seen: list[str] = []

    def wait() -> None:
        try:
            desk.take_lot(4)
        except Stopped:
            seen.append("stopped")

    thread = threading.Thread(target=wait)
    thread.start()
    desk.stop(ValueError("broken"))
    thread.join(30)
    assert seen == ["stopped"]
    with pytest.raises(ValueError, match="broken"):
        desk.finished(0, 1)


class Small:
    """A generator whose device has room for `room` pictures."""

    image_size, dimension = 4, 2

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def sample(self, condition_ND: np.ndarray, seeds: list[int], batch_size: int) -> np.ndarray:
        assert len(condition_ND) == len(seeds) == batch_size
        self.sizes.append(batch_size)
        if batch_size > self.room:
            raise ResourceError("no room")
        return np.stack([np.full((4, 4, 3), seed, np.uint8) for seed in seeds])


def test_when_memory_ends_the_lot_is_halved_and_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    generator = Small(room=3)
    drawer = Drawer(generator, {}, 8)
    pictures = drawer(np.zeros((5, 2), np.float32), [10, 11, 12, 13, 14])
    assert pictures[:, 0, 0, 0].tolist() == [10, 11, 12, 13, 14]
    assert generator.sizes == [8, 4, 2, 2, 2]
    assert dict(drawer.lots) == {2: 3}
    assert "8 pictures at once do not fit, going on with 4" in capsys.readouterr().err
    drawer(np.zeros((1, 2), np.float32), [10])
    assert generator.sizes[-1] == 2, "the lot stays small"


def test_when_not_even_one_picture_fits_the_error_stands() -> None:
    with pytest.raises(ResourceError, match="no room"):
        Drawer(Small(room=0), {}, 4)(np.zeros((1, 2), np.float32), [1])


def test_memory_that_ends_in_front_of_the_batch_halves_the_lot_and_other_errors_stand() -> None:
    class Prompting(Small):
        def sample(self, condition_ND: np.ndarray, seeds: list[int], batch_size: int) -> np.ndarray:
            if batch_size > self.room:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return super().sample(condition_ND, seeds, batch_size)

    drawer = Drawer(Prompting(room=2), {}, 8)
    assert drawer(np.zeros((3, 2), np.float32), [7, 8, 9])[:, 0, 0, 0].tolist() == [7, 8, 9]
    assert drawer.lot == 2
    with pytest.raises(ResourceError, match="not even one picture fits"):
        Drawer(Prompting(room=0), {}, 4)(np.zeros((1, 2), np.float32), [1])
    with pytest.raises(RuntimeError, match="illegal"):
        Drawer(Broken(room=2), {}, 2)(np.zeros((1, 2), np.float32), [1])


class Broken(Small):
    """Its device fails."""

    def sample(self, *_: Any, **__: Any) -> np.ndarray:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "bfloat16"])
def test_a_picture_of_arc2face_depends_on_no_neighbour_and_no_place_in_its_lot(golden: Path, dtype: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        generator = Arc2Face.from_pretrained(golden / "arc2face" / "checkpoint", dtype=dtype, device="cpu")
        rng = np.random.default_rng(0)
        condition_MD = rng.standard_normal((12, 512)).astype(np.float32)
        seeds = [int(seed) for seed in rng.integers(0, 2**63, 12)]
        drawer = Drawer(generator, {"num_inference_steps": 1, "guidance_scale": 3.0}, 4)

        def drawn(rows: list[int]) -> dict[int, bytes]:
            pictures = drawer(condition_MD[rows], [seeds[row] for row in rows])
            return {row: picture.tobytes() for row, picture in zip(rows, pictures, strict=True)}

        alone = drawn([0, 1, 2, 3]) | drawn([4, 5, 6, 7])
        for rows in ([3, 9, 10, 11], [8, 0, 7, 1], [5], [6, 2, 4]):
            for row, picture in drawn(rows).items():
                assert picture == alone.get(row, picture), (rows, row)
    finally:
        torch.set_num_threads(before)


def test_threads_that_draw_side_by_side_do_not_disturb_each_other(golden: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = Arc2Face.from_pretrained(golden / "arc2face" / "checkpoint", dtype="float32", device="cpu")
    condition_MD = np.random.default_rng(0).standard_normal((16, 512)).astype(np.float32)
    drawer = Drawer(generator, {"num_inference_steps": 1, "guidance_scale": 3.0}, 4)
    expected = [drawer(condition_MD[k : k + 4], [k, k + 1, k + 2, k + 3]).tobytes() for k in (0, 4, 8, 12)]
    found: dict[int, bytes] = {}

    def work(k: int) -> None:
        torch.set_num_threads(1)
        found[k] = drawer(condition_MD[k : k + 4], [k, k + 1, k + 2, k + 3]).tobytes()

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 4, 8, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.set_num_threads(before)
    assert [found[k] for k in (0, 4, 8, 12)] == expected


def test_jpeg_keeps_size_colours_and_the_chosen_chroma() -> None:
    import simplejpeg

    crop_HWC = np.zeros((112, 112, 3), np.uint8)
    crop_HWC[..., 0] = 200
    for subsampling in ("4:2:0", "4:4:4"):
        jpeg = encode_jpeg(crop_HWC, CropRecipe(jpeg_subsampling=subsampling))  # type: ignore[arg-type]
        height, width, _, found = simplejpeg.decode_jpeg_header(jpeg)
        assert (height, width, found) == (112, 112, subsampling.replace(":", ""))
        red = simplejpeg.decode_jpeg(jpeg, "RGB").mean((0, 1))
        assert red == pytest.approx([200, 0, 0], abs=3)
