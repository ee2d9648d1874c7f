"""Steps, log, checkpoints and signals: the same for all stages.

Every random number is a function of the seed and of a sample's number, and step k of a training with G pictures a step
sees the samples kG … kG + G − 1: a training that was interrupted goes on to the same bits.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from synthface.devices import is_out_of_memory
from synthface.errors import SynthfaceError
from synthface.generator.device import compile_failed, is_compile_failure, out_of_memory
from synthface.generator.training import checkpoints
from synthface.generator.training.average import Average
from synthface.generator.training.log import StageLog
from synthface.progress import Progress
from synthface.recipe.pictures import GeneratorTrainingRecipe, StageRecipe
from synthface.stop import StopSignals

Loss = Callable[[Any, Sequence[int]], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Stage:
    """What is trained in which way.

    name: of the checkpoints and log lines. loss: (network, sample numbers) → `loss` and further scalars to log.
    pace: the recipe's section with step size, batch and so on. facts: all that decides the course of the training.
    show: called with the step every `sample_every` steps, under the averaged weights.
    """

    name: str
    network: torch.nn.Module
    loss: Loss
    pace: GeneratorTrainingRecipe | StageRecipe
    facts: dict[str, Any]
    show: Callable[[int], None]
    accumulate: int = 1
    batch_setting: str = "train_generator.batch_size"
    betas: tuple[float, float] = (0.9, 0.999)  # AdamW's
    channels_last: bool = False  # where the recipe leaves it open


class Training:
    """One stage in this process. After `run`, `average` holds the result; `step` counts finished steps."""

    def __init__(self, stage: Stage, recipe: GeneratorTrainingRecipe, accelerator: Any, folder: Path) -> None:
        self.stage, self.recipe, self.accelerator, self.folder = stage, recipe, accelerator, folder
        self.device: torch.device = accelerator.device
        self.main: bool = accelerator.is_main_process
        # accelerate's autocast covers the network; what a loss adds, decoder and recogniser, computes as it does in bfloat16
        self.precision = accelerator.autocast if accelerator.mixed_precision == "bf16" else contextlib.nullcontext
        network = stage.network.to(self.device)
        if stage.channels_last if recipe.channels_last is None else recipe.channels_last:
            network = network.to(memory_format=torch.channels_last)
        self.network = network.train()
        self.average = Average(network, stage.pace.ema_decay)
        optimizer = torch.optim.AdamW(
            [parameter for parameter in network.parameters() if parameter.requires_grad],
            lr=stage.pace.learning_rate,
            betas=stage.betas,
            weight_decay=stage.pace.weight_decay,
            fused=True,
        )
        self.per_micro = stage.pace.batch_size * accelerator.num_processes
        self.facts = {**stage.facts, "pictures_a_step": self.per_micro * stage.accumulate}
        self.step = checkpoints.restore(
            folder / "checkpoints", stage.name, network, self.average, optimizer, accelerator.scaler, self.facts
        )
        self.optimizer = optimizer
        if recipe.compile:
            network.compile(dynamic=False)
        self.wrapped, self.prepared = accelerator.prepare(network, optimizer)

    def run(self) -> dict[str, Any]:
        """Trains from the checkpoint's step to the last; gives steps, seconds and the last loss.

        SIGTERM and SIGINT save a checkpoint and raise KeyboardInterrupt. Raises ResourceError when the memory ends, with
        the batch that fits, SynthfaceError when the loss is no longer a number or torch.compile fails.
        """
        first, started, total = self.step, time.perf_counter(), self.stage.pace.steps
        facts: dict[str, Any] = {}
        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(StopSignals())
            log = (
                stack.enter_context(StageLog(self.folder / "log.jsonl", self.stage.name, first)) if self.main else None
            )
            progress = stack.enter_context(self._progress()) if self.main else None
            before, before_step = started, first
            while self.step < total:
                values, stopping = self._step_or_explain(stop)
                last = self.step == total
                if progress:
                    progress.update(self.facts["pictures_a_step"], loss=f"{values['loss']:.4f}")
                if last or self.step % self.recipe.log_every == 0:
                    now = time.perf_counter()
                    rate = (self.step - before_step) * self.facts["pictures_a_step"] / max(now - before, 1e-9)
                    before, before_step = now, self.step
                    facts = {**values, "learning_rate": self._rate(self.step - 1), "images_per_second": round(rate, 2)}
                    if log:
                        log.write(self.step, facts)
                if last or stopping or self.step % self.recipe.checkpoint_every == 0:
                    self._save()
                if stopping and not last:
                    raise KeyboardInterrupt
                if last or (self.recipe.sample_every and self.step % self.recipe.sample_every == 0):
                    self._show()
        seconds = time.perf_counter() - started
        done = (self.step - first) * self.facts["pictures_a_step"]
        return {
            "steps": self.step,
            "loss": facts.get("loss"),
            "seconds": round(seconds, 1),
            "images_per_second": round(done / seconds, 2) if done else None,
        }

    def _step_or_explain(self, stop: StopSignals) -> tuple[dict[str, float], bool]:
        try:
            return self._step(stop)
        except Exception as error:
            if is_compile_failure(error):
                raise compile_failed(f"the {self.stage.name}", "train_generator.compile", error) from error
            if not is_out_of_memory(error):
                raise
        # outside of the handler, whose traceback keeps the failed batch's tensors alive
        self.optimizer.zero_grad(set_to_none=True)
        raise out_of_memory(
            self.stage.pace.batch_size, self._attempt, self.device, self.stage.batch_setting, f"The {self.stage.name}"
        )

    def _step(self, stop: StopSignals) -> tuple[dict[str, float], bool]:
        """One optimiser step; the means of the loss's scalars, and whether any process was asked to stop."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self.step)
        sums: dict[str, torch.Tensor] = {}
        for micro in range(self.stage.accumulate):
            last = micro == self.stage.accumulate - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                with self.precision():
                    values = self.stage.loss(self.wrapped, self._samples(micro))
                self.accelerator.backward(values["loss"] / self.stage.accumulate)
            for key, value in values.items():
                sums[key] = sums.get(key, 0) + value.detach().float() / self.stage.accumulate
        means, stopping = self._shared(sums, stop.asked)
        if not all(map(math.isfinite, means.values())):
            raise SynthfaceError(
                f"The loss of the {self.stage.name} is no longer a number at step {self.step + 1}.",
                "Lower its learning_rate or set train_generator.precision=no; the last checkpoint is sound.",
            )
        self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.recipe.clip_grad_norm)
        self.prepared.step()
        self.prepared.zero_grad(set_to_none=True)
        self.average.update(self.network, self.step)
        self.step += 1
        return means, stopping

    def _samples(self, micro: int) -> range:
        start = (self.step * self.stage.accumulate + micro) * self.per_micro
        start += self.accelerator.process_index * self.stage.pace.batch_size
        return range(start, start + self.stage.pace.batch_size)

    def _attempt(self, fewer: int) -> None:
        """Whether a step of `fewer` pictures fits, AdamW's state included; the weights are thrown away with the process."""
        try:
            with self.precision():
                loss = self.stage.loss(self.network, range(fewer))["loss"]
            loss.backward()
            self.optimizer.step()
        finally:
            self.optimizer.zero_grad(set_to_none=True)

    def _shared(self, sums: dict[str, torch.Tensor], asked: bool) -> tuple[dict[str, float], bool]:
        """Means over all processes, by one small reduction, so that none goes on alone."""
        together = torch.stack([*sums.values(), torch.tensor(float(asked), device=self.device)])
        if self.accelerator.num_processes > 1:
            together = self.accelerator.reduce(together, "mean")
        *means, stopping = together.tolist()
        return dict(zip(sums, means, strict=True)), stopping > 0

    def _rate(self, step: int) -> float:
        pace = self.stage.pace
        grown = (step + 1) / max(1, pace.warmup_steps)
        left = (pace.steps - step) / max(1, pace.cooldown_steps)
        return float(pace.learning_rate * min(1.0, grown, left))

    def _save(self) -> None:
        if self.main:
            checkpoints.save(
                self.folder / "checkpoints",
                self.stage.name,
                self.step,
                self.network,
                self.average,
                self.optimizer,
                self.accelerator.scaler,
                self.facts,
                self.recipe.keep_checkpoints,
            )

    def _show(self) -> None:
        if self.main:
            with self.average.in_place_of(self.network):
                self.network.eval()
                self.stage.show(self.step)
                self.network.train()
        self.accelerator.wait_for_everyone()

    def _progress(self) -> Progress:
        per_step = self.facts["pictures_a_step"]
        total = self.stage.pace.steps * per_step
        return Progress(total, "images", f"training the {self.stage.name}", initial=self.step * per_step)
