"""The laws of training: it learns, goes on exactly where it was stopped, and stops when the loss is no number."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_world import write_people

from fr_train import checkpoints
from fr_train.data.sources import open_sources
from fr_train.training.log import TrainLog, read_log
from fr_train.training.loop import Training, train
from fr_train.training.recogniser import build
from fr_train.training.state import fingerprint
from synthface.errors import InputError, ResourceError, RunConflictError, SynthfaceError, UsageError
from synthface.recipe.recognition import AugmentRecipe, TrainRecipe

QUICK: dict[str, Any] = {
    "backbone": "small",
    "embedding_size": 32,
    "batch_size": 8,
    "epochs": 2,
    "milestones": (),
    "learning_rate": 0.05,
    "scale": 16.0,
    "precision": "no",
    "device": "cpu",
    "workers": 0,
    "checkpoint_every": 4,
    "augment": AugmentRecipe(flip=0.5, crop=0.3, low_resolution=0.3, photometric=0.3),
}


def recipe(**values: Any) -> TrainRecipe:
    return TrainRecipe(**{**QUICK, **values})


def losses(folder: Path) -> list[float]:
    lines = read_log(folder / "log.jsonl")
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, happens: Callable[[], object]) -> None:
    """Has something happen once, when the log's line of that step has been written."""
    write = TrainLog.write

    def writing(log: TrainLog, number: int, facts: dict[str, Any]) -> None:
        write(log, number, facts)
        if number == step:
            monkeypatch.setattr(TrainLog, "write", write)
            happens()

    monkeypatch.setattr(TrainLog, "write", writing)


@pytest.fixture(scope="module")
def whole(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of 12 steps that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    train(recipe(), open_sources([people]), folder)
    return folder


def test_a_training_learns_and_tells_what_it_did(people: Path, tmp_path: Path) -> None:
    facts = train(recipe(epochs=8, learning_rate=0.1), open_sources([people]), tmp_path)
    told = losses(tmp_path)
    assert np.mean(told[-6:]) < 0.5 * np.mean(told[:6])
    assert (facts["classes"], facts["pictures"], facts["steps"], facts["corrupt"]) == (6, 48, 48, 0)
    assert facts["loss"] == told[-1]
    line = read_log(tmp_path / "log.jsonl")[-1]
    assert set(line) == {"step", "epoch", "loss", "mean_norm", "mean_target_cosine", "lr", "images_per_second"}
    assert line["epoch"] == 8
    assert 0 < line["mean_target_cosine"] <= 1
    network, info = checkpoints.load_backbone(tmp_path / "model.pt")
    assert (info.backbone, info.embedding_size, info.color) == ("small", 32, "rgb")
    assert all(bool(torch.isfinite(part).all()) for part in network.state_dict().values())


def test_the_same_seed_gives_the_same_training_and_another_seed_another_one(
    people: Path, whole: Path, tmp_path: Path
) -> None:
    train(recipe(workers=2), open_sources([people]), tmp_path / "same")
    train(recipe(), open_sources([people]), tmp_path / "other", seed=1)
    assert losses(tmp_path / "same") == losses(whole)
    assert losses(tmp_path / "other")[0] != losses(whole)[0]


@pytest.mark.parametrize("step", [6, 9])
def test_a_killed_training_goes_on_mid_epoch_with_exactly_the_same_losses(
    people: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    def killed() -> None:
        raise MemoryError("as if the machine had gone")

    at_step(monkeypatch, step, killed)
    with pytest.raises(MemoryError):
        train(recipe(), open_sources([people]), tmp_path)
    assert checkpoints.read(tmp_path / "checkpoints" / "last.pt")["step"] == step // 4 * 4
    facts = train(recipe(), open_sources([people]), tmp_path, resume=True)
    assert facts["steps"] == 12
    assert losses(tmp_path) == losses(whole)
    finished, expected = (checkpoints.read(folder / "model.pt")["model"] for folder in (tmp_path, whole))
    assert all(torch.equal(finished[key], expected[key]) for key in expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_a_checkpoint_after_the_step_and_the_training_goes_on_from_there(
    people: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    at_step(monkeypatch, 5, lambda: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), open_sources([people]), tmp_path)
    assert checkpoints.read(tmp_path / "checkpoints" / "last.pt")["step"] == 6
    assert not (tmp_path / "model.pt").exists()
    train(recipe(), open_sources([people]), tmp_path, resume=True)
    assert losses(tmp_path) == losses(whole)


def test_averaged_weights_and_clipping_survive_a_stop_too(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(ema_decay=0.9, clip_grad_norm=1.0, schedule="cosine", warmup_epochs=0.5)
    train(chosen, open_sources([people]), tmp_path / "whole")
    at_step(monkeypatch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        train(chosen, open_sources([people]), tmp_path / "cut")
    train(chosen, open_sources([people]), tmp_path / "cut", resume=True)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    finished, expected = (checkpoints.read(tmp_path / name / "model.pt")["model"] for name in ("cut", "whole"))
    assert all(torch.equal(finished[key], expected[key]) for key in expected)
    last = checkpoints.read(tmp_path / "whole" / "checkpoints" / "last.pt")["model"]
    assert not torch.equal(last["output.fc.weight"], expected["output.fc.weight"])  # the model is the average


def test_a_finished_training_is_not_repeated(people: Path, whole: Path, tmp_path: Path) -> None:
    before = (whole / "log.jsonl").read_bytes()
    facts = train(recipe(), open_sources([people]), whole, resume=True)
    assert (whole / "log.jsonl").read_bytes() == before
    assert facts["steps"] == 12
    assert facts["seconds"] > 0
    assert facts["images_per_second"] > 0


def test_seconds_and_speed_are_those_of_all_parts_and_of_the_machine_that_trained(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 10)
    monkeypatch.setattr("fr_train.training.loop.time.perf_counter", lambda: float(next(clock)))
    at_step(monkeypatch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), open_sources([people]), tmp_path)
    facts = train(recipe(), open_sources([people]), tmp_path, resume=True)
    assert (facts["seconds"], facts["images_per_second"]) == (120.0, 0.8)
    assert train(recipe(), open_sources([people]), tmp_path, resume=True) == facts
    monkeypatch.setattr("fr_train.training.loop.Training._machine", lambda _: {"device": "another"})
    assert train(recipe(), open_sources([people]), tmp_path, resume=True) == facts


def test_more_epochs_of_other_data_or_values_are_refused_by_name(people: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(RunConflictError, match=r"learning_rate: 0\.05 in the checkpoint, 0\.1 now"):
        train(recipe(learning_rate=0.1), open_sources([people]), whole, resume=True)
    other = write_people(tmp_path, 5, 8)
    with pytest.raises(RunConflictError, match="classes: 6 in the checkpoint, 5 now"):
        train(recipe(), open_sources([other]), whole, resume=True)


def test_other_pictures_of_as_many_people_are_refused_and_a_copy_elsewhere_is_not(
    people: Path, whole: Path, tmp_path: Path
) -> None:
    copy, other = shutil.copytree(people, tmp_path / "copy"), write_people(tmp_path / "other", 6, 8, first=20)
    assert train(recipe(), open_sources([copy]), whole, resume=True)["steps"] == 12
    with pytest.raises(RunConflictError, match=r"conditions:\n  picture_lengths: '\w+' in the checkpoint, '\w+' now\n"):
        train(recipe(), open_sources([other]), whole, resume=True)


def test_the_fingerprint_knows_the_order_of_the_data_and_where_one_set_ends(people: Path, tmp_path: Path) -> None:
    parts = [write_people(tmp_path / str(first), number, 8, first) for first, number in ((20, 6), (40, 2), (42, 4))]
    kept = [fingerprint(open_sources([people, part])) for part in parts[:1]]
    assert fingerprint(open_sources([parts[0], people])) != kept[0]
    assert fingerprint(open_sources([parts[0], people]))["labels"] == kept[0]["labels"]
    joined = tmp_path / "joined"
    for part in parts[1:]:
        shutil.copytree(part, joined, dirs_exist_ok=True)
    assert fingerprint(open_sources([joined, people])) != fingerprint(open_sources([parts[1], parts[2], people]))


def test_a_damaged_checkpoint_is_a_sentence(people: Path, whole: Path, tmp_path: Path) -> None:
    place = tmp_path / "checkpoints" / "last.pt"
    place.parent.mkdir()
    content = (whole / "checkpoints" / "last.pt").read_bytes()
    place.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        train(recipe(), open_sources([people]), tmp_path, resume=True)
    place.write_bytes((whole / "model.pt").read_bytes())
    with pytest.raises(InputError, match="holds a network and not the state of a training"):
        train(recipe(), open_sources([people]), tmp_path, resume=True)
    for key in ("model", "head", "optimizer", "step", "conditions"):
        torch.save({**checkpoints.read(whole / "checkpoints" / "last.pt"), key: [5]}, place)
        with pytest.raises(InputError, match=r"does not fit its own recipe|holds a network and not the state"):
            train(recipe(), open_sources([people]), tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_with_step_rate_and_the_batchs_keys(people: Path, tmp_path: Path) -> None:
    with pytest.raises(SynthfaceError, match=r"no longer a number at step \d+ with learning rate 1e\+30") as caught:
        train(recipe(learning_rate=1e30, head="cosface"), open_sources([people]), tmp_path)
    evidence = json.loads((tmp_path / "nan_batch_0.json").read_text())
    assert f"at step {evidence['step']} " in str(caught.value)
    assert evidence["lr"] == 1e30
    assert len(evidence["pictures"]) == len(evidence["labels"]) == 8
    assert all(Path(picture).is_file() for picture in evidence["pictures"])
    assert not (tmp_path / "checkpoints" / "last.pt").exists()  # none was sound
    assert caught.value.fix == "Lower train.learning_rate, or add train.warmup_epochs or train.clip_grad_norm."
    assert all(np.isfinite(losses(tmp_path)))


def test_where_there_is_a_checkpoint_other_values_need_a_restart_and_the_advice_says_so(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped_by(happens: Callable[[Training], object]) -> SynthfaceError:
        training = Training(recipe(), open_sources([people]), tmp_path, 0, False)
        at_step(monkeypatch, 5, lambda: happens(training))
        with pytest.raises(SynthfaceError) as caught:
            training.run()
        return caught.value

    def full(_: Training) -> None:
        monkeypatch.setattr(Training, "_loss", raising)

    def raising(*_: object) -> None:
        raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB")

    def lost(training: Training) -> None:
        with torch.no_grad():
            training.state.model.head.weight.fill_(float("nan"))

    assert stopped_by(lost).fix == (
        "Lower train.learning_rate, or add train.warmup_epochs or train.clip_grad_norm, and begin again with --restart; "
        "the last checkpoint is sound."
    )
    assert stopped_by(full).fix == "Try --batch-size 4 --restart, and scale train.learning_rate with it."


def test_no_checkpoint_is_written_over_a_sound_one_when_a_weight_is_no_number(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(recipe(), open_sources([people]), tmp_path, 0, False)

    def spoil() -> None:
        with torch.no_grad():
            training.state.model.head.weight[0, 0] = float("nan")

    at_step(monkeypatch, 8, spoil)
    with pytest.raises(SynthfaceError, match="A weight is no longer a number after step 8"):
        training.run()
    assert checkpoints.read(tmp_path / "checkpoints" / "last.pt")["step"] == 4


@pytest.mark.parametrize("head", ["adaface", "adaface-ste", "arcface", "cosface"])
def test_every_head_trains(people: Path, tmp_path: Path, head: str) -> None:
    train(recipe(head=head, epochs=1), open_sources([people]), tmp_path)
    assert all(np.isfinite(losses(tmp_path)))


def test_bfloat16_learns_as_float32_does(people: Path, whole: Path, tmp_path: Path) -> None:
    for precision in ("no", "bf16"):  # at a rate at which rounding is not amplified from step to step
        train(recipe(precision=precision, learning_rate=1e-5, epochs=1), open_sources([people]), tmp_path / precision)
    np.testing.assert_allclose(losses(tmp_path / "bf16"), losses(tmp_path / "no"), rtol=0.05)
    train(recipe(precision="bf16", epochs=8, learning_rate=0.1), open_sources([people]), tmp_path)
    told = losses(tmp_path)
    assert told[0] == pytest.approx(losses(whole)[0], rel=0.01)  # later steps amplify the rounding
    assert told[0] != losses(whole)[0]
    assert np.mean(told[-6:]) < 0.5 * np.mean(told[:6])


def test_gradients_in_bfloat16_point_where_those_of_float32_do() -> None:
    torch.manual_seed(0)
    model = build(recipe(), 6).train()
    image_BHWC, label_B = torch.randint(0, 256, (8, 112, 112, 3), dtype=torch.uint8), torch.arange(8) % 6
    gradients = []
    for rounded in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=rounded):
            loss = model(image_BHWC, label_B)
        loss.backward()
        weights = [value.grad for value in model.parameters() if value.dim() > 1 and value.grad is not None]
        gradients.append(torch.cat([gradient.flatten().clone() for gradient in weights]))
    exact, rounded_ones = gradients
    assert torch.cosine_similarity(exact, rounded_ones, dim=0) > 0.95
    assert rounded_ones.norm() == pytest.approx(float(exact.norm()), rel=0.05)


def test_real_and_synthetic_data_are_mixed_by_weight(people: Path, tmp_path: Path) -> None:
    more = write_people(tmp_path / "more", 2, 4, first=70)
    paths, weights = (str(people), str(more)), (1.0, 1.0)
    facts = train(recipe(epochs=1, data_weights=weights), open_sources(paths, weights), tmp_path / "fr")
    assert (facts["classes"], facts["pictures"]) == (8, 56)


def test_damaged_pictures_are_counted_up_to_the_limit(tmp_path: Path) -> None:
    folder = write_people(tmp_path / "data", 4, 6)
    for photo in range(3):
        (folder / "0002" / f"{photo}.jpg").write_bytes(b"\xff\xd8\xff damaged")
    facts = train(recipe(max_corrupt=0.2), open_sources([folder]), tmp_path / "lenient")
    assert facts["corrupt"] == 3
    with pytest.raises(InputError, match=r"3 of 24 pictures cannot be decoded, more than train.max_corrupt \(0\.05\)"):
        train(recipe(max_corrupt=0.05), open_sources([folder]), tmp_path / "strict")


def test_running_out_of_memory_names_a_batch_to_try(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB")

    monkeypatch.setattr("fr_train.training.recogniser.normalised", full)
    with pytest.raises(ResourceError, match="A batch of 8 does not fit into the memory of cpu") as caught:
        train(recipe(), open_sources([people]), tmp_path)
    assert caught.value.fix == "Try --batch-size 4, and scale train.learning_rate with it."


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent_is_a_sentence(people: Path, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="'cuda:1' was asked for, and PyTorch sees no CUDA device"):
        train(recipe(device="cuda:1"), open_sources([people]), tmp_path)


def test_devices_and_precisions_that_cannot_be_are_refused(people: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no device 'gpu'"):
        train(recipe(device="gpu"), open_sources([people]), tmp_path)
    with pytest.raises(UsageError, match="fp16 needs a CUDA device"):
        train(recipe(precision="fp16"), open_sources([people]), tmp_path)


def test_tensorboard_gets_every_figure(people: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(recipe(epochs=1, tensorboard=True), open_sources([people]), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [scalar.step for scalar in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([scalar.value for scalar in events.Scalars("loss")], losses(tmp_path), rtol=1e-6)
    assert {"loss", "lr", "mean_norm", "mean_target_cosine", "images_per_second"} <= set(events.Tags()["scalars"])


def test_a_torn_last_log_line_is_dropped(people: Path, whole: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text((whole / "log.jsonl").read_text() + '{"step": 13, "lo')
    assert len(read_log(log)) == 12
    with TrainLog(tmp_path, 5, tensorboard=False) as again:
        again.write(6, {"loss": 1.0})
    assert [line["step"] for line in read_log(log)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_compiled_backbone_reaches_the_same_losses(people: Path, tmp_path: Path) -> None:
    for compiled in (True, False):  # at a rate at which rounding is not amplified from step to step
        settings = recipe(compile=compiled, learning_rate=1e-5, epochs=1)
        train(settings, open_sources([people]), tmp_path / str(compiled))
    np.testing.assert_allclose(losses(tmp_path / "True"), losses(tmp_path / "False"), rtol=1e-3)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is meant")
def test_on_a_cpu_freed_memory_stays_with_the_process() -> None:
    code = (
        "import psutil, sys, torch\n"
        "from fr_train.training import device\n"
        "if sys.argv[1] == 'kept': device.keep_freed_memory(torch.device('cpu'))\n"
        "before = psutil.Process().memory_info().rss\n"
        "tensor = torch.ones(50_000_000)\n"
        "del tensor\n"
        "print(psutil.Process().memory_info().rss - before)\n"
    )
    left = {
        way: int(subprocess.run([sys.executable, "-c", code, way], check=True, capture_output=True, text=True).stdout)
        for way in ("kept", "given back")
    }
    assert left["kept"] > 190e6, "200 MB were freed"
    assert left["given back"] < 50e6
