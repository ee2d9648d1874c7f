"""Arc2Face (ECCV 2024): faces of the person whose ArcFace embedding is given."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from synthface import files
from synthface.devices import is_out_of_memory
from synthface.errors import InputError, UsageError
from synthface.generator import layout, load, noise
from synthface.generator.attention import attend_plainly
from synthface.generator.conditioning import load_conditioner
from synthface.generator.control import control_by, control_tensor
from synthface.generator.decode import decode, downscaling, to_uint8
from synthface.generator.device import (
    channels_last_helps,
    choose_device,
    choose_dtype,
    compile_failed,
    is_compile_failure,
    out_of_memory,
)
from synthface.generator.lora import lora_file, merge_lora
from synthface.generator.sampling import Guidance, denoise
from synthface.generator.schedule import make_scheduler
from synthface.identity import sphere
from synthface.recipe.pictures import GeneratorRecipe

_DEFAULT = GeneratorRecipe()
_PROMPTS_AT_ONCE = 256

Made = TypeVar("Made")


class Arc2Face:
    """The generator: `encode` makes prompts of embeddings, `sample` makes pictures.

    Attributes: `dimension` of the embeddings; `image_size`, pixels; `device`; `dtype` of UNet and autoencoder (the
    conditioner is float32 always: a prompt costs little and every step reads it).

    The public weights are `from_pretrained("FoivosPar/Arc2Face", base="stable-diffusion-v1-5/stable-diffusion-v1-5")`;
    `embedded` is the small generator that ships with the package:

    >>> import numpy as np
    >>> generator = synthface.Arc2Face.from_pretrained("embedded")
    >>> embedding_1D = np.random.default_rng(0).standard_normal((1, generator.dimension))
    >>> picture_1HWC = generator.sample(embedding_1D, seeds=[7], num_inference_steps=2)
    >>> picture_1HWC.shape, picture_1HWC.dtype
    ((1, 112, 112, 3), dtype('uint8'))
    """

    def __init__(
        self, unet: Any, vae: Any, conditioner: Any, schedule: dict[str, Any], dimension: int, controlnet: Any = None
    ) -> None:
        if conditioner.width != unet.config.cross_attention_dim:
            raise InputError(
                f"The conditioner is {conditioner.width} wide and the UNet attends to "
                f"{unet.config.cross_attention_dim}.",
                "Take arc2face/ and encoder/ from one checkpoint.",
            )
        if getattr(conditioner, "dimension", dimension) != dimension:
            raise InputError(
                f"The conditioner reads embeddings of {conditioner.dimension}, and the checkpoint speaks of {dimension}.",
                "Take synthface.json and encoder/ from one checkpoint.",
            )
        if dimension > conditioner.width:
            raise InputError(
                f"Embeddings of {dimension} do not fit into a token of {conditioner.width}.",
                "Take synthface.json and encoder/ from one checkpoint.",
            )
        if vae.config.latent_channels != unet.config.in_channels:
            raise InputError(
                f"The autoencoder has {vae.config.latent_channels} latent channels and the UNet "
                f"{unet.config.in_channels}.",
                "Take the autoencoder with which the UNet was trained.",
            )
        side = unet.config.sample_size
        if not isinstance(side, int) or side < 1:
            raise InputError(
                f"The UNet's config.json says sample_size {side!r}; a whole number is wanted, the side of its square latents.",
                "Copy the checkpoint's config.json again, or write the side there.",
            )
        scale = vae.config.scaling_factor
        if not isinstance(scale, int | float) or not scale > 0:
            raise InputError(
                f"The autoencoder's config.json says scaling_factor {scale!r}; a number above 0 is wanted.",
                "Copy the checkpoint's config.json again: Stable Diffusion 1.5 has 0.18215.",
            )
        self.unet, self.vae, self.conditioner, self.controlnet = unet, vae, conditioner, controlnet
        self.schedule, self.dimension, self.channels_last = schedule, dimension, False
        self.image_size = side * downscaling(vae)
        self._empty: torch.Tensor | None = None
        self._prompting = threading.Lock()  # while it runs, the conditioner substitutes a token for all threads

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        base: str | Path | None = None,
        *,
        dtype: str | torch.dtype = _DEFAULT.dtype,
        device: str | None = None,
        conditioner: str | None = _DEFAULT.conditioner,
        controlnet: str | Path | None = None,
        lora: str | Path | None = _DEFAULT.lora,
        lora_scale: float = 1.0,
        vae: str | Path | None = _DEFAULT.vae,
        channels_last: bool | None = _DEFAULT.channels_last,
        fused_attention: bool = _DEFAULT.fused_attention,
        compile: bool = _DEFAULT.compile,
    ) -> Arc2Face:
        """Reads a checkpoint in the official layout (see `layout`), every tensor of it or none.

        All of these are folders, names of public models, or their hub ids; nothing is downloaded here. base: the Stable
        Diffusion parts, where `model` lacks them. controlnet: for `control` pictures. lora: update merged into the UNet.
        vae: another autoencoder, such as the tiny one. channels_last (None: where it helps), fused_attention, compile:
        levers of speed, see docs/generator.md.

        Raises InputError for half a checkpoint, other shapes and pickled code; MissingWeightsError when nothing is
        there; ResourceError when the device is not.
        """
        place = choose_device(device)
        precision = choose_dtype(dtype, place)
        parts = layout.find_layout(model, base)
        unet = load.load_unet(parts.unet, precision)
        if not fused_attention:
            attend_plainly(unet)
        if lora is not None:
            merge_lora(unet, lora_file(lora), lora_scale)
        autoencoder = load.load_vae(parts.vae if vae is None else layout.local_folder(vae, "autoencoder"), precision)
        control = None
        if controlnet is not None:
            control = load.load_controlnet(layout.local_folder(controlnet, "controlnet"), precision)
        generator = cls(
            unet,
            autoencoder,
            load_conditioner(parts.encoder, parts.tokenizer, conditioner),
            load.load_schedule(parts.scheduler),
            _dimension(parts.root),
            control,
        )
        return generator.to(place, channels_last=channels_last, compile=compile)

    def to(self, device: torch.device, *, channels_last: bool | None = None, compile: bool = False) -> Arc2Face:
        """Moves the networks and applies the levers of speed; gives itself."""
        self.channels_last = channels_last_helps(device, self.dtype) if channels_last is None else channels_last
        layout_of = torch.channels_last if self.channels_last else torch.preserve_format
        self.unet = self.unet.to(device, memory_format=layout_of)
        self.vae = self.vae.to(device, memory_format=layout_of)
        self.conditioner = self.conditioner.to(device)
        if self.controlnet is not None:
            self.controlnet = self.controlnet.to(device, memory_format=layout_of)
        if compile:
            self.unet = torch.compile(self.unet, dynamic=False)
        self._empty = None
        return self

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.unet.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.unet.dtype
        return dtype

    @torch.inference_mode()
    def encode(self, embedding_ND: NDArray[np.floating]) -> torch.Tensor:
        """Prompts (N, L, E) float32 of embeddings (N, D), which are normalised here; L is 77 for the public weights.

        Raises InputError for another dimension, NaN and rows of zeros.
        """
        rows_ND = np.atleast_2d(np.asarray(embedding_ND))
        if rows_ND.ndim != 2 or rows_ND.shape[1] != self.dimension:
            raise InputError(
                f"The embeddings have shape {tuple(rows_ND.shape)}; this generator reads (N, {self.dimension}).",
                "Use embeddings of the encoder with which the generator was trained.",
            )
        if not len(rows_ND):
            return self.empty_prompt()[:0]
        unit_ND = torch.from_numpy(sphere.normalize(rows_ND)).to(self.device)
        with self._prompting:
            return torch.cat([self.conditioner(part) for part in unit_ND.split(_PROMPTS_AT_ONCE)])

    @torch.inference_mode()
    def empty_prompt(self) -> torch.Tensor:
        """The unconditional prompt (1, L, E) float32, computed once."""
        with self._prompting:
            if self._empty is None:
                self._empty = self.conditioner.empty()
            return self._empty

    def sample(
        self,
        condition_ND: NDArray[np.floating],
        seeds: Sequence[int] | NDArray[np.integer],
        *,
        num_inference_steps: int = _DEFAULT.num_inference_steps,
        guidance_scale: float = _DEFAULT.guidance_scale,
        guidance_interval: tuple[float, float] = _DEFAULT.guidance_interval,
        batched_guidance: bool = _DEFAULT.batched_guidance,
        scheduler: str = _DEFAULT.scheduler,
        spacing: str = _DEFAULT.spacing,
        batch_size: int | None = None,
        fixed_batch_shape: bool = False,
        vae_slice: int = _DEFAULT.vae_slice,
        control: NDArray[Any] | None = None,
        control_scale: float = 1.0,
    ) -> NDArray[np.uint8]:
        """Pictures (N, side, side, 3) uint8 RGB, one for each row of the embeddings (N, D) and its seed.

        seeds: (N,) 64-bit numbers; a picture's noise is a function of its own seed alone.
        batch_size: pictures at once, None: all. fixed_batch_shape: fill the last batch up, so that on one CPU the
        bytes do not depend on how many pictures were asked for. guidance_scale 1 does without the unconditional half.
        guidance_interval: noise levels, from and to, at which there is guidance; 1 is noise alone.
        control: (N or 1, side, side, 3) pictures for the ControlNet.

        Raises InputError for embeddings, seeds or control pictures that do not fit; ResourceError when the memory ends,
        with the batch size that fits; SynthfaceError when torch.compile fails.
        """
        row_ND = np.atleast_2d(np.asarray(condition_ND))
        seed_N, count = noise.checked(list(seeds)), len(row_ND)
        prompt_NLE = self._or_explain(lambda few: self.encode(row_ND[:few]), count)
        if len(seed_N) != count:
            raise InputError(f"{len(seed_N)} seeds were given for {count} embeddings.", "Give one seed a picture.")
        if not count:
            return np.zeros((0, self.image_size, self.image_size, 3), np.uint8)
        if control is not None and self.controlnet is None:
            raise UsageError(
                "Control pictures were given, and no ControlNet.",
                "Load one with `controlnet=`: `arc2face-controlnet`, once it is pulled, or a folder.",
            )
        image_NCHW = None if control is None else control_tensor(control, count, self.image_size)
        settings = _Settings(
            scheduler,
            spacing,
            num_inference_steps,
            Guidance(guidance_scale, guidance_interval, batched_guidance),
            vae_slice,
            control_scale,
        )
        size = (batch_size or count) if fixed_batch_shape else min(batch_size or count, count)
        pictures = []
        for start in range(0, count, size):
            rows = list(range(start, min(start + size, count)))
            filled = rows + rows[-1:] * (size - len(rows)) if fixed_batch_shape else rows
            batch = _Batch(
                prompt_NLE[filled],
                [seed_N[row] for row in filled],
                None if image_NCHW is None else image_NCHW[filled].to(self.device),
            )
            draw = functools.partial(self._draw, batch, settings)
            pictures.append(self._or_explain(draw, len(filled))[: len(rows)])
        return np.concatenate(pictures)

    def _or_explain(self, work: Callable[[int], Made], count: int) -> Made:
        """`work(count)`, of as many pictures; when the memory ends, a ResourceError with the number that fits."""
        try:
            return work(count)
        except Exception as error:
            if is_compile_failure(error):
                raise compile_failed("the UNet", "generator.compile", error) from error
            if not is_out_of_memory(error):
                raise
        # outside of the handler, whose traceback keeps the failed batch's tensors alive
        raise out_of_memory(count, work, self.device, "generator.batch_size", "The generator")

    @torch.inference_mode()
    def _draw(self, whole: _Batch, settings: _Settings, count: int) -> NDArray[np.uint8]:
        """The first `count` pictures of a batch."""
        batch = whole.first(count)
        side, channels = int(self.unet.config.sample_size), int(self.unet.config.in_channels)
        control = None
        if batch.image_BCHW is not None:
            control = control_by(self.controlnet, batch.image_BCHW, settings.control_scale)
        latent_BCHW = denoise(
            self.unet,
            make_scheduler(
                settings.scheduler, self.schedule, settings.num_inference_steps, self.device, settings.spacing
            ),
            noise.initial_noise(batch.seed_B, (channels, side, side)).to(self.device),
            batch.prompt_BLE,
            self.empty_prompt(),
            settings.guidance,
            noise.step_generators(batch.seed_B),
            control,
        )
        return to_uint8(decode(self.vae, latent_BCHW, settings.vae_slice))


@dataclass(frozen=True)
class _Settings:
    scheduler: str
    spacing: str
    num_inference_steps: int
    guidance: Guidance
    vae_slice: int
    control_scale: float


@dataclass(frozen=True)
class _Batch:
    prompt_BLE: torch.Tensor
    seed_B: list[int]
    image_BCHW: torch.Tensor | None

    def first(self, count: int) -> _Batch:
        image_BCHW = None if self.image_BCHW is None else self.image_BCHW[:count]
        return _Batch(self.prompt_BLE[:count], self.seed_B[:count], image_BCHW)


def _dimension(root: Path) -> int:
    """Dimension of the embeddings: ArcFace's, unless the checkpoint was trained here on others."""
    path = root / "synthface.json"
    if not path.exists():
        return layout.OFFICIAL_DIMENSION
    content = files.read_json(path)
    dimension = content.get("dimension") if isinstance(content, dict) else None
    if not isinstance(dimension, int) or dimension < 2:
        raise InputError(f"{path} names no dimension of the embeddings.", "Export the generator again.")
    return dimension
