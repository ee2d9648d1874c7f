"""Recipe sections about recognisers: train, evaluate."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from synthface.recipe.section import Precision, Section, decisive, free


class AugmentRecipe(Section):
    """Probabilities of the training augmentations (AdaFace, section 4.1)."""

    flip: float = decisive(0.5, "Horizontal flip.", ge=0.0, le=1.0)
    crop: float = decisive(0.2, "Random resized crop, the rest padded with black.", ge=0.0, le=1.0)
    low_resolution: float = decisive(0.2, "Down- and upscaling.", ge=0.0, le=1.0)
    photometric: float = decisive(0.2, "Brightness, contrast and saturation.", ge=0.0, le=1.0)
    rand_augment: int = decisive(0, "RandAugment operations an image; 0: none.", ge=0)
    rand_magnitude: int = decisive(9, "RandAugment magnitude, 0 to 30.", ge=0, le=30)
    random_erasing: float = decisive(0.0, "Random erasing.", ge=0.0, le=1.0)


class TrainRecipe(Section):
    """`train-fr`: backbone, margin head, schedule."""

    data: tuple[str, ...] = free((), "RecordIO folders or class folders, joined; empty: the run's own dataset.")
    data_weights: tuple[float, ...] = decisive((), "Sampling weight of each of `data`; empty: by size.")
    backbone: str = decisive("ir_50", "ir_18 … ir_101, ir_se_50, r18 … r100, mobilefacenet, small, or timm/<name>.")
    embedding_size: int = decisive(512, "Length of the embedding.", ge=2)
    head: Literal["adaface", "adaface-ste", "arcface", "cosface"] = decisive("adaface", "Margin head.")
    margin: float = decisive(0.4, "Margin m.", ge=0.0)
    h: float = decisive(0.333, "AdaFace: concentration h of the image-quality scaler.", ge=0.0)
    scale: float = decisive(64.0, "Logit scale s.", gt=0.0)
    t_alpha: float = decisive(0.01, "AdaFace: momentum of the norm statistics.", ge=0.0, le=1.0)
    epochs: int = decisive(40, "Passes over the data.", ge=1)
    batch_size: int = decisive(512, "Images a step over all processes.", ge=2)
    optimizer: Literal["sgd"] = decisive("sgd", "Optimiser.")
    learning_rate: float = decisive(0.1, "Initial step size.", gt=0.0)
    momentum: float = decisive(0.9, "SGD momentum.", ge=0.0, lt=1.0)
    weight_decay: float = decisive(5e-4, "Weight decay, not on norms and biases.", ge=0.0)
    schedule: Literal["step", "cosine", "poly"] = decisive("step", "Learning-rate schedule.")
    milestones: tuple[int, ...] = decisive((24, 30, 36), "Epochs at which `step` divides the rate by ten.")
    poly_power: float = decisive(2.0, "Exponent of `poly`; 2 is insightface's.", gt=0.0)
    warmup_epochs: float = decisive(0.0, "Linear warm-up.", ge=0.0)
    clip_grad_norm: float | None = decisive(None, "Largest gradient norm.", gt=0.0)
    ema_decay: float | None = decisive(None, "Decay of averaged weights; null: none.", gt=0.0, lt=1.0)
    color: Literal["rgb", "bgr"] = decisive("rgb", "Channel order that the network sees.")
    precision: Precision = decisive("auto", "Autocast; auto: bf16 where the device has it.")
    sync_batch_norm: bool = decisive(
        False, "Batch norm over the batches of all processes; off, each has its own, as AdaFace trains."
    )
    augment: AugmentRecipe = decisive(AugmentRecipe(), "Augmentations.")
    max_corrupt: float = free(
        0.001, "Share of the images that may fail to decode (each is replaced) before training stops.", ge=0.0, le=1.0
    )
    workers: int = free(2, "Threads that read, decode and augment.", ge=0)
    device: str = free("auto", "auto, cpu, cuda, cuda:N.")
    compile: bool = free(False, "Compile the backbone with torch.compile.")
    checkpoint_every: int = free(1_000, "Steps between checkpoints.", ge=1)
    log_every: int = free(1, "Steps between log lines.", ge=1)
    tensorboard: bool = free(False, "Also write TensorBoard events.")

    @model_validator(mode="after")
    def _schedule_is_possible(self) -> TrainRecipe:
        if list(self.milestones) != sorted(set(self.milestones)) or any(epoch < 1 for epoch in self.milestones):
            raise ValueError(f"milestones {list(self.milestones)} are not epochs in rising order")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs:g} leaves nothing of {self.epochs} epochs")
        if any(weight <= 0 for weight in self.data_weights):
            raise ValueError(f"data_weights {list(self.data_weights)} are not all above 0")
        return self


class EvaluateRecipe(Section):
    """Verification by insightface's protocol."""

    benchmarks: str | None = free(
        None, "Folder with `lfw.bin`, `cfp_fp.bin`, …; null: parametric sets among `names` are made in the cache."
    )
    pairs: int = free(6_000, "Pairs of each parametric set, a multiple of 20.", ge=20, multiple_of=20)
    names: tuple[str, ...] = decisive(("lfw", "cfp_fp", "cplfw", "agedb_30", "calfw"), "Sets that make the table.")
    folds: int = decisive(10, "Folds, unshuffled.", ge=2)
    flip: bool = decisive(True, "Add the embedding of the mirrored image.")
    bootstrap: int = decisive(1_000, "Resamples of the pairs for the confidence interval.", ge=0)
    far: tuple[float, ...] = decisive(
        (1e-2, 1e-3, 1e-4), "False-accept rates at which TAR is told, as far as the number of pairs allows."
    )
    color_check_pairs: int = free(
        256,
        "Pairs of the first set that can tell that are also embedded with red and blue swapped, as a warning; 0: none.",
        ge=0,
    )
    batch_size: int = free(128, "Images embedded at once.", ge=1)
    device: str = free("auto", "auto, cpu, cuda, cuda:N.")

    @model_validator(mode="after")
    def _rates_are_shares(self) -> EvaluateRecipe:
        if not all(0 < rate < 1 for rate in self.far):
            raise ValueError(f"far {list(self.far)} are not all above 0 and below 1")
        return self
