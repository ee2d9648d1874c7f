"""The training: epochs of steps, each a pure function of what was learned so far and of (seed, step)."""

from __future__ import annotations

import contextlib
import math
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fr_train import checkpoints
from fr_train.data.loader import Batch, Loader
from fr_train.data.sources import Sources
from fr_train.training import device, optimizer, recogniser, sync_norm
from fr_train.training.log import TrainLog, read_log
from fr_train.training.state import TrainState, network
from synthface import files
from synthface.errors import InputError, ResourceError, SynthfaceError
from synthface.progress import Progress, say
from synthface.recipe.recognition import TrainRecipe
from synthface.seeds import derive_seed
from synthface.stop import StopSignals


def train(recipe: TrainRecipe, sources: Sources, folder: Path, seed: int = 0, resume: bool = False) -> dict[str, Any]:
    """Trains a recogniser; gives the facts of the run.

    Writes into `folder`: checkpoints/last.pt (all that `resume` needs), log.jsonl, and, when finished, model.pt (the
    network alone, with averaged weights where the recipe has them). SIGTERM and SIGINT save a checkpoint and raise
    KeyboardInterrupt. Started by torchrun or `accelerate launch`, each process calls this.

    Raises the errors of the data and the recipe, ResourceError for a device that is absent or too small, InputError
    when too many pictures cannot be decoded, SynthfaceError when the loss is no longer a number.
    """
    return Training(recipe, sources, folder, seed, resume).run()


class Training:
    """One training in this process."""

    def __init__(self, recipe: TrainRecipe, sources: Sources, folder: Path, seed: int, resume: bool) -> None:
        self.recipe, self.sources, self.folder, self.seed = recipe, sources, folder, seed
        self.accelerator = device.accelerator(recipe)
        self.device: torch.device = self.accelerator.device
        device.keep_freed_memory(self.device)
        self.main: bool = self.accelerator.is_main_process
        self.checkpoint = folder / "checkpoints" / "last.pt"
        self.loader = Loader(
            sources,
            recipe.augment,
            seed=seed,
            batch_size=recipe.batch_size,
            weights=recipe.data_weights,
            workers=recipe.workers,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
        )
        with self._explaining_out_of_memory():
            self._build(resume)
        self.total_steps = recipe.epochs * self.loader.steps_per_epoch
        self.schedule = optimizer.schedule(self.state.optimizer, recipe, self.loader.steps_per_epoch)

    def _build(self, resume: bool) -> None:
        torch.manual_seed(_torch_seed(self.seed, "weights"))
        model = recogniser.build(self.recipe, self.sources.num_classes).to(self.device)
        if self.recipe.sync_batch_norm and self.accelerator.num_processes > 1:
            sync_norm.convert(model, self.device)
        average = None
        if self.recipe.ema_decay is not None:
            decay = get_ema_multi_avg_fn(self.recipe.ema_decay)
            average = AveragedModel(model.backbone, multi_avg_fn=decay, use_buffers=True)
        self.state = TrainState(model, optimizer.build(model, self.recipe), self.accelerator.scaler, average)
        if resume:
            self.state.restore(self.checkpoint, self.recipe, self.seed, self.sources)
        if self.recipe.compile:
            model.backbone.compile(dynamic=False)
        self.model, self.optimizer = self.accelerator.prepare(model.train(), self.state.optimizer)
        device.keep_own_buffers(self.model)

    def run(self) -> dict[str, Any]:
        """Trains from the state's step to the end."""
        state, recipe = self.state, self.recipe
        first, before = state.step, time.perf_counter()
        if first < self.total_steps:
            state.machine = self._machine()
        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(StopSignals())
            log = stack.enter_context(TrainLog(self.folder, first, recipe.tensorboard)) if self.main else None
            progress = stack.enter_context(self._progress()) if self.main else None
            for batch in stack.enter_context(contextlib.closing(self.loader.batches(first, self.total_steps))):
                with self._explaining_out_of_memory():
                    facts, stopping = self._step(batch, stop.asked)
                now = time.perf_counter()
                facts["images_per_second"] = round(recipe.batch_size / (now - before), 2)
                state.seconds += now - before
                before, last = now, state.step == self.total_steps
                if log and (last or state.step % recipe.log_every == 0):
                    log.write(state.step, facts)
                if progress:
                    progress.update(recipe.batch_size, epoch=str(facts["epoch"]), loss=f"{facts['loss']:.3f}")
                if last or stopping or state.step % recipe.checkpoint_every == 0:
                    self._save()
                if stopping and not last:
                    raise KeyboardInterrupt
        return self._finish()

    def _step(self, batch: Batch, stop_asked: bool) -> tuple[dict[str, Any], bool]:
        """One optimiser step; the facts to log, and whether any process was asked to stop."""
        state = self.state
        torch.manual_seed(_torch_seed(self.seed, "step", state.step, self.accelerator.process_index))
        self.schedule.step_update(state.step)
        image_BHWC, label_B = self._on_device(batch)
        loss = self._loss(image_BHWC, label_B)
        values, stopping = self._shared(loss, batch, stop_asked)
        facts = {
            "epoch": state.step // self.loader.steps_per_epoch + 1,
            **values,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        if not all(map(math.isfinite, values.values())):
            self._give_up(batch, float(loss.detach()), facts["lr"])
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if self.recipe.clip_grad_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.clip_grad_norm)
        self.optimizer.step()
        if state.average is not None:
            state.average.update_parameters(state.model.backbone)
        state.step += 1
        return facts, stopping

    def _explaining_out_of_memory(self) -> AbstractContextManager[None]:
        return device.explaining_out_of_memory(self.recipe.batch_size, self.device, restart=self.checkpoint.exists())

    def _on_device(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 goes to the device: a quarter of the bytes of float32; it is normalised there."""
        image_BHWC, label_B = torch.from_numpy(batch.image_BHWC), torch.from_numpy(batch.label_B)
        if self.device.type == "cuda":
            image_BHWC, label_B = image_BHWC.pin_memory(), label_B.pin_memory()
        return image_BHWC.to(self.device, non_blocking=True), label_B.to(self.device, non_blocking=True)

    def _loss(self, image_BHWC: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
        try:
            loss: torch.Tensor = self.model(image_BHWC, label_B)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            raise ResourceError(
                f"torch.compile failed on {self.recipe.backbone}: {str(error).splitlines()[0]}",
                "It needs a C++ compiler (and Triton on CUDA); or --set train.compile=false.",
            ) from error
        return loss

    def _shared(self, loss: torch.Tensor, batch: Batch, stop_asked: bool) -> tuple[dict[str, float], bool]:
        """Loss, mean norm and mean target cosine over all processes, and whether any was asked to stop.

        One small reduction before the backward pass: no process goes on alone, be it to stop, after a NaN or when too
        many pictures are damaged.
        """
        last = self.state.model.head.last
        flags = torch.tensor([float(stop_asked), float(len(batch.corrupt))], device=self.device)
        facts = torch.stack([loss.detach().float(), last["mean_norm"], last["mean_target_cosine"]])
        *values, asked, corrupt = self.accelerator.reduce(torch.cat([facts, flags]), "mean").tolist()
        if corrupt > 0:
            self._count_corrupt(gather_object(list(batch.corrupt)))
        return dict(zip(("loss", "mean_norm", "mean_target_cosine"), values, strict=True)), asked > 0

    def _give_up(self, batch: Batch, loss: float, rate: float) -> None:
        """The loss is not a number: keeps the evidence, and stops before the weights are touched."""
        path = self.folder / f"nan_batch_{self.accelerator.process_index}.json"
        evidence = {
            "step": self.state.step + 1,
            "lr": rate,
            "loss": str(loss),
            "pictures": [self.sources.key(int(index)) for index in batch.index_B],
            "labels": batch.label_B.tolist(),
        }
        files.write_json(path, evidence)
        raise SynthfaceError(
            f"The loss is no longer a number at step {self.state.step + 1} with learning rate {rate:g}; the batch's "
            f"pictures are listed in {path}.",
            f"{self._calmer()}{'; the last checkpoint is sound' if self.checkpoint.exists() else ''}.",
        )

    def _calmer(self) -> str:
        """What to do about a loss or a weight that is no number; a checkpoint belongs to the values it was made with."""
        again = ", and begin again with --restart" if self.checkpoint.exists() else ""
        return f"Lower train.learning_rate, or add train.warmup_epochs or train.clip_grad_norm{again}"

    def _count_corrupt(self, found: list[int]) -> None:
        """Counts the damaged pictures of all processes. Raises InputError when they are too many."""
        new = sorted(set(found) - self.state.corrupt)
        self.state.corrupt.update(new)
        count, total = len(self.state.corrupt), len(self.sources)
        if count > self.recipe.max_corrupt * total:
            raise InputError(
                f"{count} of {total} pictures cannot be decoded, more than train.max_corrupt "
                f"({self.recipe.max_corrupt:g}) allows; the last of them is {self.sources.key(found[-1])}.",
                "`synthface verify` tells which records are damaged; or raise train.max_corrupt.",
            )
        if self.main:
            for index in new:
                say(f"Skipped: {self.sources.key(index)} cannot be decoded.")

    def _save(self) -> None:
        if not self.state.finite():
            raise SynthfaceError(
                f"A weight is no longer a number after step {self.state.step}; no checkpoint was written"
                f"{' over the last sound one' if self.checkpoint.exists() else ''}.",
                f"{self._calmer()}.",
            )
        if self.main:
            self.state.save(self.checkpoint, self.recipe, self.seed, self.sources)

    def _finish(self) -> dict[str, Any]:
        state, path = self.state, self.folder / "model.pt"
        if self.main:
            checkpoints.save(path, network(self.recipe, state.backbone()))
        lines = read_log(self.folder / "log.jsonl")
        return {
            "model": str(path),
            "backbone": self.recipe.backbone,
            "head": self.recipe.head,
            "pictures": len(self.sources),
            "classes": self.sources.num_classes,
            "epochs": self.recipe.epochs,
            "steps": state.step,
            "loss": lines[-1]["loss"] if lines else None,
            "corrupt": len(state.corrupt),
            "seconds": round(state.seconds, 1),
            "images_per_second": round(state.step * self.recipe.batch_size / state.seconds, 2),
            **state.machine,
        }

    def _machine(self) -> dict[str, Any]:
        return {
            "device": str(self.device),
            "precision": self.accelerator.mixed_precision,
            "processes": self.accelerator.num_processes,
        }

    def _progress(self) -> Progress:
        batch = self.recipe.batch_size
        return Progress(self.total_steps * batch, "images", "training", initial=self.state.step * batch)


def _torch_seed(seed: int, *path: int | str) -> int:
    return derive_seed(seed, "torch", *path) % 2**63
