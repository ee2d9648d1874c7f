"""The public weights that recipes can name: where they come from, which bytes, and on what terms.

Revisions are pinned. Sizes and hashes are stated where they are known from the source; sizes marked as not exact are the
source's rounded figures. What is not known here is recorded at the first pull and checked ever after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["generator", "base", "foundation", "encoder", "detector", "controlnet", "lora", "autoencoder", "metric"]


@dataclass(frozen=True)
class File:
    """One file of a repository. size: bytes, rounded unless `exact`; None when unknown before the first pull.

    sha256: the whole hash, or its beginning where the source tells no more (torch's file names end in it).
    """

    path: str
    size: int | None = None
    exact: bool = False
    sha256: str | None = None


@dataclass(frozen=True)
class Model:
    """One entry: files of one repository at one revision. `weights` is the file or folder that a recipe value means.

    url: where the files lie when it is not the hub; they are named by their last part there, and `revision` is a release.
    base: the entry with the Stable Diffusion parts that this one lacks.
    """

    name: str
    role: Role
    summary: str
    repository: str
    revision: str
    files: tuple[File, ...]
    licence: str
    terms: str
    weights: str | None = None  # None: the entry's whole folder
    url: str | None = None
    base: str | None = None

    @property
    def size(self) -> int | None:
        """Bytes together; None as soon as one is unknown."""
        return None if any(f.size is None for f in self.files) else sum(f.size or 0 for f in self.files)


_ARC2FACE = ("FoivosPar/Arc2Face", "da2f1e9aa3954dad093213acfc9ae75a68da6ffd")
_WEBFACE_TERMS = "WebFace42M, which its makers give for non-commercial research only"
_ARC2FACE_TERMS = (
    f"MIT, as the authors' model card states. Trained on {_WEBFACE_TERMS}, and on FFHQ and CelebA-HQ, which are given for "
    "non-commercial use, too; the UNet and text encoder are fine-tuned from Stable Diffusion 1.5, whose OpenRAIL-M terms "
    "bind derivatives."
)
_SD15 = ("stable-diffusion-v1-5/stable-diffusion-v1-5", "451f4fe16113bff5a5d2269ed5ad43b0592e9a14")
_RAIL_TERMS = (
    "Open RAIL: use is free, also commercially, except for the harmful uses that its attachment lists (such as "
    "impersonation without consent); whoever passes the model or a derivative on passes these restrictions on."
)

CATALOGUE: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "arc2face",
            "generator",
            "Arc2Face: the fine-tuned UNet and text encoder",
            *_ARC2FACE,
            (
                File("arc2face/config.json", 1_780),
                File("arc2face/diffusion_pytorch_model.safetensors", 3_440_000_000),
                File("encoder/config.json", 560),
                File("encoder/pytorch_model.bin", 492_000_000),
            ),
            "MIT",
            _ARC2FACE_TERMS,
            base="sd15-base",
        ),
        Model(
            "arc2face-controlnet",
            "controlnet",
            "Arc2Face's ControlNet for pose (the paper's 4.3)",
            *_ARC2FACE,
            (
                File("controlnet/config.json", 1_210),
                File("controlnet/diffusion_pytorch_model.safetensors", 1_450_000_000),
            ),
            "MIT",
            _ARC2FACE_TERMS,
            weights="controlnet",
        ),
        Model(
            "arcface",
            "encoder",
            "The ArcFace recogniser that conditions Arc2Face (512-d, WebFace42M)",
            *_ARC2FACE,
            (File("arcface.onnx", 261_000_000),),
            "MIT",
            f"MIT, as the authors' model card states. Trained on {_WEBFACE_TERMS}.",
            weights="arcface.onnx",
        ),
        Model(
            "sd15-base",
            "base",
            "Stable Diffusion 1.5: autoencoder, tokenizer and scheduler",
            *_SD15,
            (
                File("vae/config.json", 547),
                File(
                    "vae/diffusion_pytorch_model.safetensors",
                    334_643_276,
                    exact=True,
                    sha256="a2b5134f4dbc140d9c11f11cba3233099e00af40f262f136c691fb7d38d2194c",
                ),
                File("tokenizer/merges.txt", 525_000),
                File("tokenizer/special_tokens_map.json", 472),
                File("tokenizer/tokenizer_config.json", 806),
                File("tokenizer/vocab.json", 1_060_000),
                File("scheduler/scheduler_config.json", 308),
            ),
            "CreativeML OpenRAIL-M",
            _RAIL_TERMS,
        ),
        Model(
            "sd15",
            "foundation",
            "Stable Diffusion 1.5: UNet and text encoder, from which train-generator starts",
            *_SD15,
            (
                File("unet/config.json", 743),
                File(
                    "unet/diffusion_pytorch_model.safetensors",
                    3_438_167_540,
                    exact=True,
                    sha256="19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1",
                ),
                File("text_encoder/config.json", 617),
                File(
                    "text_encoder/model.safetensors",
                    492_265_874,
                    exact=True,
                    sha256="d008943c017f0092921106440254dbbe00b6a285f7883ec8ba160c3faad88334",
                ),
            ),
            "CreativeML OpenRAIL-M",
            _RAIL_TERMS,
            base="sd15-base",
        ),
        Model(
            "lcm-lora",
            "lora",
            "LCM-LoRA for Stable Diffusion 1.5: 2–4 steps at guidance 1",
            "latent-consistency/lcm-lora-sdv1-5",
            "cf2fced511dbe7e26c8d1d397e728fbab875db4b",
            (
                File(
                    "pytorch_lora_weights.safetensors",
                    134_621_556,
                    exact=True,
                    sha256="8f90d840e075ff588a58e22c6586e2ae9a6f7922996ee6649a7f01072333afe4",
                ),
            ),
            "OpenRAIL++",
            _RAIL_TERMS,
            weights="pytorch_lora_weights.safetensors",
        ),
        Model(
            "taesd",
            "autoencoder",
            "The tiny autoencoder for Stable Diffusion 1.5",
            "madebyollin/taesd",
            "614f76814bbe30edbe2e627ace1c2234c81a2c0e",
            (
                File("config.json", 551),
                File(
                    "diffusion_pytorch_model.safetensors",
                    9_793_292,
                    exact=True,
                    sha256="db169d69145ec4ff064e49d99c95fa05d3eb04ee453de35824a6d0f325513549",
                ),
            ),
            "MIT",
            "MIT: any use, with the notice kept.",
        ),
        Model(
            "scrfd",
            "detector",
            "SCRFD-10GF with five landmarks: the detector of antelopev2",
            "fal/AuraFace-v1",
            "af6d057c9b0ec4071d4c49c80e3539258798b609",
            (
                File(
                    "scrfd_10g_bnkps.onnx",
                    16_923_827,
                    exact=True,
                    sha256="5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
                ),
            ),
            "non-commercial research (insightface)",
            "insightface gives its pretrained models for non-commercial research only. The repository it is pulled from "
            "republishes the file under Apache-2.0; the stricter statement is the one to keep.",
            weights="scrfd_10g_bnkps.onnx",
        ),
        Model(
            "alexnet",
            "metric",
            "AlexNet, in whose features LPIPS compares pictures",
            "pytorch/vision",
            "7be5be79",
            (File("checkpoints/alexnet-owt-7be5be79.pth", 244_400_000, sha256="7be5be79"),),
            "BSD-3-Clause",
            "BSD-3-Clause, as torchvision's. Trained on ImageNet, whose pictures are given for non-commercial research. "
            "Only for measuring: nothing of it enters a dataset.",
            url="https://download.pytorch.org/models",
        ),
        Model(
            "inception-fid",
            "metric",
            "The Inception network of the FID (2015-12-05, as converted by torch-fidelity)",
            "toshas/torch-fidelity",
            "v0.2.0",
            (File("weights-inception-2015-12-05-6726825d.pth", 95_600_000, sha256="6726825d"),),
            "Apache-2.0",
            "Apache-2.0, as TensorFlow's and torch-fidelity's. Trained on ImageNet, whose pictures are given for "
            "non-commercial research. Only for measuring: nothing of it enters a dataset.",
            weights="weights-inception-2015-12-05-6726825d.pth",
            url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0",
        ),
    )
}
