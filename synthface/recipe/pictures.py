"""Recipe sections about pictures: generator, crop, gate, render, pack."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from synthface.recipe.people import Cosine
from synthface.recipe.section import Precision, Section, decisive, free

Spacing = Literal["checkpoint", "linspace", "leading", "trailing", "karras", "exponential", "beta", "lu"]


class GeneratorRecipe(Section):
    """The network that photographs an embedding, and how it is sampled (Arc2Face, sections 3.3 and 4)."""

    model: str = decisive("embedded", "`embedded`, `arc2face`, or a folder in the official layout.")
    base: str | None = decisive(
        None, "Folder or hub id with the Stable Diffusion VAE, tokenizer and scheduler; null looks inside `model`."
    )
    conditioner: Literal["clip", "mlp"] | None = decisive(
        None,
        "clip: text encoder with the substituted token (the paper); mlp: its ablation; null takes what the model holds.",
    )
    scheduler: str = decisive("DPMSolverMultistepScheduler", "Any diffusers scheduler class.")
    spacing: Spacing = decisive(
        "checkpoint",
        "Where the steps lie between noise and picture: checkpoint (as its scheduler says), linspace, leading, trailing (evenly in "
        "time), karras, exponential, beta, lu (as these space the noise levels; lu: evenly in the logarithm of the signal-to-noise "
        "ratio, which keeps a perfect denoiser's details in few steps).",
    )
    num_inference_steps: int = decisive(25, "Denoising steps.", ge=1)
    guidance_scale: float = decisive(3.0, "Classifier-free guidance; 1 runs without the unconditional half.", ge=0.0)
    guidance_interval: tuple[float, float] = decisive(
        (0.0, 1.0),
        "Noise levels, from and to, at which guidance is on: timestep / training timesteps, 1 is noise alone (Kynkäänniemi et "
        "al. 2024).",
    )
    lora: str | None = decisive(
        None, "LoRA weights merged into the UNet (LCM-LoRA for few steps), a folder, file or hub id."
    )
    vae: str | None = decisive(
        None, "A smaller autoencoder in place of the checkpoint's (the tiny autoencoder); folder or hub id."
    )
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = decisive(
        "auto",
        "Precision; auto: bfloat16 where the device has it, else float32, so that bytes differ between devices of the two kinds.",
    )
    # speed and memory; what only rounds the last bits otherwise is not hashed (docs/decisions/one-run-directory.md)
    batch_size: int = free(
        8, "Pictures generated at once; on a GPU another number rounds the last bits otherwise.", ge=1
    )
    batched_guidance: bool = free(
        True,
        "Both halves of the guidance in one call of the UNet, or one after the other, which rounds the last bits otherwise.",
    )
    channels_last: bool | None = free(
        None,
        "Memory format of the networks, which rounds the last bits otherwise; null: where it helps (float32 on a CPU, half "
        "precision on a GPU).",
    )
    fused_attention: bool = free(
        True,
        "Attention by PyTorch's fused kernels; false: by plain operations, which keep the matrix of scores and round the "
        "last bits otherwise.",
    )
    compile: bool = free(False, "Compile the UNet with torch.compile.")
    controlnet: str | None = free(
        None,
        "The ControlNet by which `portrait --control` steers, a name such as arc2face-controlnet, or a folder; render steers "
        "by none.",
    )
    vae_slice: int = free(0, "Pictures decoded at once by the VAE; 0: the whole batch.", ge=0)

    @model_validator(mode="after")
    def _interval_is_ordered(self) -> GeneratorRecipe:
        low, high = self.guidance_interval
        if not 0.0 <= low <= high <= 1.0:
            raise ValueError(f"guidance_interval [{low:g}, {high:g}] is not ordered within 0 and 1")
        return self


class CropRecipe(Section):
    """From the generated picture to the 112-pixel crop that recognisers read."""

    align: Literal["detect", "none"] = decisive(
        "none", "detect: find five landmarks and warp to the ArcFace template; none: the generator draws aligned crops."
    )
    size: int = decisive(112, "Side of the crop, pixels.", ge=16)
    jpeg_quality: int = decisive(95, "JPEG quality of the stored crops.", ge=95, le=100)
    jpeg_subsampling: Literal["4:2:0", "4:4:4"] = decisive(
        "4:2:0", "Chroma of the stored crops; 4:2:0 is what real training sets and verification sets have."
    )
    threads: int = free(2, "Threads that crop, judge and encode beside the device.", ge=1)


class GateRecipe(Section):
    """Which pictures are kept."""

    min_center_similarity: Cosine | None = decisive(
        0.3, "Least similarity of picture and conditioning center, by the conditioning encoder."
    )
    nearest_center: bool = decisive(True, "The nearest of all centers must be the picture's own.")
    min_reference_similarity: Cosine | None = decisive(
        0.2, "Least similarity to the identity's reference, by the verifier encoder."
    )
    reference_images: int = decisive(8, "First attempts whose verifier embeddings make the reference.", ge=1)
    min_detection_score: float | None = decisive(None, "Least detection score.", ge=0.0, le=1.0)
    max_yaw: float | None = decisive(None, "Largest estimated yaw, degrees.", gt=0.0, le=90.0)
    max_pitch: float | None = decisive(None, "Largest estimated pitch, degrees.", gt=0.0, le=90.0)
    min_sharpness: float | None = decisive(None, "Least variance of the Laplacian of the crop's luminance.", ge=0.0)
    max_duplicate_similarity: float | None = decisive(
        0.995, "Pictures of one identity nearer to each other than this (verifier) are duplicates.", gt=0.0, le=1.0
    )
    max_attempts: int = decisive(4, "Attempts at one image before the identity goes without it.", ge=1)


class Group(Section):
    """A group of identities with its own number of images (1.2M = 20K × 50 + 40K × 5)."""

    ids: int = decisive(..., "Identities in the group.", ge=1)
    per_id: int = decisive(..., "Images of each.", ge=1)


class RenderRecipe(Section):
    """How many pictures, and how the work is cut and run."""

    identities: str | None = free(
        None, "People given as an embedding file (its hash decides), averaged by label; null: the sampled ones."
    )
    ids: int = decisive(100, "Identities rendered: the first of the sampled or given ones.", ge=1)
    per_id: int = decisive(10, "Images of each identity.", ge=1)
    groups: tuple[Group, ...] = decisive((), "Groups of different depth; when given, ids and per_id are not used.")
    shard_minutes: float = free(5.0, "Aimed-at time of one shard on one device.", gt=0.0)
    shard_images: int | None = free(
        None, "Images of one shard, whole identities; null: as many as the measured speed makes in shard_minutes.", ge=1
    )
    shard_attempts: int = free(
        3, "Times a shard is begun, after lost workers and errors, before it is called failed.", ge=1
    )
    measure_seconds: float = free(3.0, "How long the speed is measured before a plan is made.", gt=0.0)
    launcher: Literal["local", "ray", "slurm"] = free("local", "What starts the workers.")
    devices: tuple[str, ...] = free((), "Devices such as `cuda:0` or `cpu`; empty: all CUDA devices, else the CPU.")
    parts: int = free(8, "Array tasks that launcher `slurm` submits.", ge=1)
    slurm: dict[str, str | int | float | bool] = free(
        {}, "submitit's parameters of these tasks, such as slurm_partition, gpus_per_node or timeout_min."
    )


class PackRecipe(Section):
    """The finished dataset."""

    order: Literal["identity", "shuffled"] = decisive(
        "identity", "Order of the records: by identity (classic), or a seeded shuffle for sequential readers."
    )
    min_images: int = decisive(1, "Identities with fewer images are left out and counted.", ge=1)
    max_images: int | None = decisive(None, "Only so many images of each identity, the first; null: all.", ge=1)
    max_identities: int | None = decisive(
        None, "Only so many identities, the first that have enough images; null: all.", ge=1
    )
    extra_center_copies: int = decisive(
        0, "Further copies of each identity's center image (DCFace oversamples 5).", ge=0
    )


_NORM_NUM_GROUPS = (
    "Groups of each normalisation; null: as many as leave eight channels or more in each. One or two channels in a group "
    "take the picture's colour and light away."
)


def _groups_divide(channels: tuple[int, ...], groups: int | None) -> None:
    if groups is not None and any(width % groups for width in channels):
        raise ValueError(f"norm_num_groups {groups} does not divide all of the channels {list(channels)}")


class SmallUNetRecipe(Section):
    """A denoising network trained from scratch (`train_generator.mode: scratch`)."""

    channels: tuple[int, ...] = decisive((64, 128, 192), "Channels of each level; every further level halves the side.")
    attention: tuple[bool, ...] = decisive((False, True, True), "Which levels attend to the prompt and to themselves.")
    layers_per_block: int = decisive(1, "Residual blocks of each level.", ge=1)
    head_size: int = decisive(32, "Channels of one attention head.", ge=1)
    norm_num_groups: int | None = decisive(None, _NORM_NUM_GROUPS, ge=1)
    prompt_everywhere: bool = decisive(
        False,
        "Beside attention to the prompt: the pooled prompt joins the timestep, and both scale and shift every residual block's "
        "features. A small network learns sooner so whom it is asked for.",
    )

    @model_validator(mode="after")
    def _levels_agree(self) -> SmallUNetRecipe:
        if len(self.channels) != len(self.attention) or not self.channels:
            raise ValueError(f"{len(self.channels)} levels of channels and {len(self.attention)} of attention")
        if any(channels < 8 or channels % 8 for channels in self.channels):
            raise ValueError("every number of channels must be a multiple of 8")
        if any(on and channels % self.head_size for channels, on in zip(self.channels, self.attention, strict=True)):
            raise ValueError(f"channels of levels with attention must be multiples of head_size {self.head_size}")
        _groups_divide(self.channels, self.norm_num_groups)
        return self


class SmallConditionerRecipe(Section):
    """The text encoder, or the MLP, of a generator trained from scratch."""

    width: int | None = decisive(
        None, "Width of the tokens; null: the embedding's dimension, rounded up to a multiple of 64.", ge=2
    )
    layers: int = decisive(4, "Layers.", ge=1)
    tokens: int = decisive(4, "Context vectors that the MLP makes; the text encoder makes one a token.", ge=1)


class StageRecipe(Section):
    """The pace of a stage of a latent generator's training from scratch, beside the denoiser's."""

    steps: int = free(10_000, "Optimiser steps.", ge=1)
    batch_size: int = decisive(16, "Pictures a device and step.", ge=1)
    learning_rate: float = decisive(3e-4, "AdamW's step size.", gt=0.0)
    warmup_steps: int = decisive(200, "Steps over which the step size grows to its value.", ge=0)
    cooldown_steps: int = decisive(0, "Last steps, over which the step size falls to nothing; 0: it stays.", ge=0)
    weight_decay: float = decisive(0.0, "AdamW's weight decay.", ge=0.0)
    ema_decay: float = decisive(0.999, "Decay of the averaged weights, which are the result.", ge=0.0, lt=1.0)


class SmallAutoencoderRecipe(StageRecipe):
    """The autoencoder of a latent generator trained from scratch: the first stage of the same command."""

    channels: tuple[int, ...] = decisive((32, 64, 128), "Channels of each level; the latents have the last one's side.")
    layers_per_block: int = decisive(1, "Residual blocks of each level.", ge=1)
    latent_channels: int = decisive(4, "Channels of the latents.", ge=1)
    norm_num_groups: int | None = decisive(None, _NORM_NUM_GROUPS, ge=1)
    kl_weight: float = decisive(1e-6, "Weight of the latents' divergence from the standard normal.", ge=0.0)
    gradient_weight: float = decisive(
        1.0, "Weight of the error of the picture's gradients at three scales: without it edges are soft.", ge=0.0
    )
    perceptual: str | None = decisive(
        None, "A recogniser of train-fr (file or name) whose features are compared as well; null: none."
    )
    perceptual_weight: float = decisive(0.1, "Weight of that comparison.", ge=0.0)
    pictures: int = decisive(50_000, "At most so many pictures, drawn by seed, train it.", ge=1)

    @model_validator(mode="after")
    def _channels_divide(self) -> SmallAutoencoderRecipe:
        if not self.channels or any(channels < 8 or channels % 8 for channels in self.channels):
            raise ValueError("every number of channels must be a multiple of 8")
        _groups_divide(self.channels, self.norm_num_groups)
        return self


class DecoderRecipe(StageRecipe):
    """The last stage of a latent generator from scratch: the autoencoder's decoder learns on alone, against a critic."""

    steps: int = free(0, "Optimiser steps; 0: the decoder stays as the first stage left it.", ge=0)
    critic_weight: float = decisive(
        0.7,
        "How much the critic's opinion weighs beside the first stage's errors, by the gradients of both; 0: those errors alone.",
        ge=0.0,
    )
    latent_noise: float = decisive(
        0.0,
        "Largest deviation of the noise on the latents it learns from, as a share of theirs: what the denoiser gets wrong.",
        ge=0.0,
    )
    critic_channels: tuple[int, ...] = decisive(
        (32, 64, 128), "Channels of the critic's levels; n of them judge patches of 5·2ⁿ − 2 pixels.", min_length=1
    )


class GeneratorTrainingRecipe(Section):
    """`train-generator`: the paper's sections 3.2, 3.3 and 4.5, and small models from scratch."""

    mode: Literal["finetune", "scratch"] = decisive(
        "finetune", "finetune: UNet and text encoder of `start_from`; scratch: small networks, from nothing."
    )
    start_from: str | None = decisive(
        None,
        "finetune: sd15, arc2face, or a folder in the layout of Stable Diffusion 1.5 or of Arc2Face to go on from.",
    )
    space: Literal["latent", "pixel"] = decisive("latent", "scratch: denoise an autoencoder's latents, or pixels.")
    conditioner: Literal["clip", "mlp"] = decisive("clip", "scratch: text encoder with the substituted token, or MLP.")
    unet: SmallUNetRecipe = decisive(SmallUNetRecipe(), "scratch: the denoising network.")
    text: SmallConditionerRecipe = decisive(SmallConditionerRecipe(), "scratch: the conditioner.")
    vae: SmallAutoencoderRecipe = decisive(SmallAutoencoderRecipe(), "scratch in latent space: the autoencoder.")
    decoder: DecoderRecipe = decisive(
        DecoderRecipe(), "scratch in latent space: the decoder's training after all else."
    )
    resolution: int = decisive(512, "Side of the training pictures, pixels.", ge=8)
    upscaler: str | None = decisive(
        None, "ONNX file of a face restoration network (GFPGAN's interface) that enlarges the pictures; null: bicubic."
    )
    mirror: bool = decisive(True, "Half of the pictures are seen mirrored.")
    max_corrupt: float = decisive(
        0.001, "Share of pictures that may fail to decode before training is refused.", ge=0.0, le=1.0
    )
    prediction: Literal["epsilon", "v_prediction"] = decisive("epsilon", "scratch: what the network predicts.")
    beta_end: float = decisive(
        0.012,
        "scratch: where Stable Diffusion's noise schedule ends. 0.012 leaves 7 % of the signal, in which small latents still show "
        "how bright a picture is, so that pictures from noise alone are all alike in it; 0.02 leaves 1.6 %.",
        gt=0.00085,
        lt=1.0,
    )
    min_snr_gamma: float | None = decisive(
        None, "Clamped signal-to-noise weighting of the loss (Hang et al. 2023); null: none, as the paper.", gt=0.0
    )
    condition_dropout: float = decisive(
        0.1, "Share of pictures trained with the empty prompt, for guidance.", ge=0.0, le=1.0
    )
    identity_loss_weight: float = decisive(
        0.0,
        "Weight of 1 − similarity of the predicted clean picture's embedding to the condition; 0: none, as the paper.",
        ge=0.0,
    )
    identity_loss_after: int = decisive(
        0, "Steps before this term begins: until it knows people, the network learns less from it than it costs.", ge=0
    )
    identity_loss_share: float = decisive(
        1.0,
        "Share of each batch that the term judges: a picture it judges is decoded and embedded, which may cost more than all else.",
        gt=0.0,
        le=1.0,
    )
    identity_encoder: str | None = decisive(
        None,
        "The recogniser of train-fr that this similarity is measured by; null: encoder.model, whose embeddings these are.",
    )
    identity_least_signal: float = decisive(
        0.5,
        "Pictures count whose signal is at least this share of the variance: with more noise the prediction is a mean face.",
        ge=0.0,
        le=1.0,
    )
    learning_rate: float = decisive(1e-6, "AdamW's step size.", gt=0.0)
    warmup_steps: int = decisive(500, "Steps over which the step size grows to its value.", ge=0)
    cooldown_steps: int = decisive(0, "Last steps, over which the step size falls to nothing; 0: it stays.", ge=0)
    weight_decay: float = decisive(1e-2, "AdamW's weight decay.", ge=0.0)
    clip_grad_norm: float = decisive(1.0, "Largest norm of the gradient.", gt=0.0)
    batch_size: int = decisive(4, "Pictures a device and step.", ge=1)
    accumulate: int = decisive(1, "Batches whose gradients are added up before a step.", ge=1)
    steps: int = free(100_000, "Optimiser steps.", ge=1)
    ema_decay: float = decisive(0.9999, "Decay of the averaged weights, which are the result.", ge=0.0, lt=1.0)
    precision: Precision = decisive("auto", "Autocast; auto: bf16 where the device has it.")
    cache_latents: bool = decisive(
        True,
        "Latents are computed once and kept (mean and deviation in half precision, 64 KB a view at 512 pixels); false: "
        "computed anew whenever a picture is seen.",
    )
    device: str = free("auto", "auto, cpu, cuda or cuda:N; with several processes each takes its own.")
    channels_last: bool | None = free(None, "Memory format of the networks; null: where it helps.")
    compile: bool = free(False, "Compile the network with torch.compile.")
    export_dtype: Literal["float32", "bfloat16", "float16"] = free("float32", "Precision of the exported weights.")
    export_part_megabytes: int | None = free(
        None, "Larger networks are exported in parts of at most this size, with an index; null: one file each.", ge=1
    )
    gradient_checkpointing: bool = free(False, "Compute the UNet's activations twice instead of keeping them.")
    encode_batch: int = free(16, "Pictures that the autoencoder encodes at once when the latents are cached.", ge=1)
    workers: int = free(2, "Threads that decode pictures.", ge=1)
    log_every: int = free(10, "Steps between log lines.", ge=1)
    checkpoint_every: int = free(1_000, "Steps between checkpoints.", ge=1)
    keep_checkpoints: int = free(2, "Checkpoints kept.", ge=1)
    sample_every: int = free(1_000, "Steps between sample grids; 0: none.", ge=0)
    sample_identities: int = free(8, "Identities in a sample grid, four pictures each.", ge=1)

    @model_validator(mode="after")
    def _sides_divide(self) -> GeneratorTrainingRecipe:
        if self.mode == "scratch" and self.space == "latent":
            factor = 2 ** (len(self.vae.channels) - 1)
            if self.resolution % factor:
                raise ValueError(
                    f"resolution {self.resolution} is not a multiple of {factor}, the latents' downscaling"
                )
        if self.decoder.steps and not (self.mode == "scratch" and self.space == "latent"):
            raise ValueError("decoder: its steps need mode scratch and space latent, where the autoencoder is its own")
        if self.mode == "scratch" and not self.cache_latents:
            raise ValueError(
                "cache_latents: false needs mode finetune: from scratch the latents' scale is learned from all"
            )
        return self
