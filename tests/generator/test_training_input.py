"""Training refuses or counts what it cannot use, and says which batch fits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_training import train

from synthface.errors import InputError, ResourceError
from synthface.generator.training import autoencoder_training, denoiser
from synthface.generator.training.pairs import open_pairs


class TestBadInput:
    def test_damaged_pictures_are_left_out_and_counted_up_to_the_share_allowed(self, world, tmp_path):
        import shutil

        shutil.copytree(world / "faces", tmp_path / "faces")
        (tmp_path / "faces" / "003" / "0.png").write_bytes(b"no picture at all")
        shutil.copy(world / "faces.npz", tmp_path / "faces.npz")
        with pytest.raises(InputError, match=r"1 of 8 pictures .* the first is number 3"):
            train(tmp_path, tmp_path / "generator")
        result = train(
            tmp_path, tmp_path / "generator", **{"train_generator.max_corrupt": 0.2, "train_generator.steps": 2}
        )
        assert result["damaged"] == 1

    def test_a_huge_picture_is_not_decoded(self):
        import zlib

        from synthface.generator.training.pictures import PictureReader

        def chunk(kind, data):
            return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

        side = (20_000).to_bytes(4, "big")
        head = chunk(b"IHDR", side + side + b"\x08\x02\x00\x00\x00")
        bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
        picture_BHWC, good_B = PictureReader(32, 1).read([bomb])
        assert not good_B[0]
        assert not picture_BHWC.any()

    def test_embeddings_of_another_dataset_are_refused(self, world, tmp_path):
        rows = np.random.default_rng(0).standard_normal((7, 16)).astype(np.float32)
        np.save(tmp_path / "seven.npy", rows)
        with pytest.raises(InputError, match="holds 8 pictures and the embedding files 7 rows"):
            open_pairs(world / "faces", [tmp_path / "seven.npy"])
        np.savez(tmp_path / "others.npz", embeddings=np.ones((8, 16), np.float32), labels=[0, 0, 1, 2, 3, 4, 5, 6])
        with pytest.raises(InputError, match="Row 1 of the embeddings is of person 0"):
            open_pairs(world / "faces", [tmp_path / "others.npz"])

    def test_rows_follow_their_indices_where_pictures_were_left_out(self, world, tmp_path):
        with np.load(world / "faces.npz") as file:
            rows = file["embeddings"]
        kept = np.array([1, 2, 5])
        np.savez(tmp_path / "some.npz", embeddings=rows[kept], labels=kept, indices=kept)
        pairs = open_pairs(world / "faces", [tmp_path / "some.npz"])
        assert len(pairs) == 3
        assert pairs.payloads([2]) == [(world / "faces" / "005" / "0.png").read_bytes()]
        assert pairs.label_N.tolist() == [1, 2, 5]

    def test_out_of_memory_says_which_batch_fits(self, world, tmp_path, monkeypatch):
        real = denoiser.Denoiser.forward

        def forward(self, noisy_BCHW, *arguments):
            if len(noisy_BCHW) > 3:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return real(self, noisy_BCHW, *arguments)

        monkeypatch.setattr(denoiser.Denoiser, "forward", forward)
        with pytest.raises(ResourceError, match=r"a batch of 4 pictures does not fit .* 2 fits") as caught:
            train(world, tmp_path / "generator")
        assert "train_generator.batch_size=2" in caught.value.fix

    def test_the_optimisers_state_counts(self, world, tmp_path, monkeypatch):
        """Smaller batches are no help where AdamW's moments do not fit."""

        def step(*_, **__):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

        monkeypatch.setattr(torch.optim.AdamW, "step", step)
        with pytest.raises(ResourceError, match="not even one picture fits"):
            train(world, tmp_path / "generator")

    def test_the_latents_say_which_batch_fits(self, world, tmp_path, monkeypatch):
        from diffusers import AutoencoderKL

        real = AutoencoderKL.encode

        def encode(self, picture_BCHW, *arguments, **more):
            if len(picture_BCHW) > 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(self, picture_BCHW, *arguments, **more)

        monkeypatch.setattr(AutoencoderKL, "encode", encode)
        monkeypatch.setattr(autoencoder_training, "show_reconstructions", lambda *_: lambda step: None)
        with pytest.raises(ResourceError, match=r"The autoencoder: a batch of \d+ pictures .* fits") as caught:
            train(world, tmp_path / "generator", **{"train_generator.mirror": False})
        assert "train_generator.encode_batch=" in caught.value.fix

    def test_a_compiler_that_fails_is_one_sentence(self, world, tmp_path, monkeypatch):
        from torch._dynamo.exc import TorchDynamoException

        from synthface.errors import SynthfaceError

        def forward(*_):
            raise TorchDynamoException("no working C++ compiler")

        monkeypatch.setattr(denoiser.Denoiser, "forward", forward)
        with pytest.raises(SynthfaceError, match="failed on the denoiser: no working C") as caught:
            train(world, tmp_path / "generator")
        assert caught.value.fix.endswith("--set train_generator.compile=false.")

    def test_a_loss_that_is_no_number_stops_before_the_weights_are_touched(self, world, tmp_path, monkeypatch):
        from synthface.errors import SynthfaceError

        real = denoiser.Denoiser.forward
        monkeypatch.setattr(denoiser.Denoiser, "forward", lambda *a: real(*a) * float("nan"))
        with pytest.raises(SynthfaceError, match="loss of the denoiser is no longer a number at step 1"):
            train(world, tmp_path / "generator")
