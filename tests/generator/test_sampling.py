"""Sampling: whose noise a picture gets, which schedulers run, and what each lever changes."""

from __future__ import annotations

import re

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from synthface.errors import InputError, RecipeError, ResourceError, SynthfaceError, UsageError
from synthface.generator import noise
from synthface.generator.decode import decode
from synthface.generator.sampling import Guidance, denoise
from synthface.generator.schedule import make_scheduler

FEW = {"num_inference_steps": 3, "guidance_scale": 2.0}
SEEDS = [11, 2**63 + 5, 0, 2**64 - 1, 12]
TOLERANCE = 2  # grey levels of 255 that another batch shape may change, here: no more than one picture's rounding


class TestNoise:
    @given(seed=st.integers(0, 2**64 - 1), others=st.lists(st.integers(0, 2**64 - 1), max_size=3))
    @settings(max_examples=30, deadline=None)
    def test_a_row_is_a_function_of_its_own_seed(self, seed, others):
        alone = noise.initial_noise([seed], (2, 3, 3))[0]
        among = noise.initial_noise([*others, seed], (2, 3, 3))[-1]
        assert torch.equal(alone, among)

    def test_all_64_bits_of_a_seed_count(self):
        first, second = noise.initial_noise([5, 5 + 2**32], (64,))
        assert not torch.equal(first, second)
        first, second = (torch.randn(64, generator=g) for g in noise.step_generators([5, 5 + 2**32]))
        assert not torch.equal(first, second)

    def test_it_is_standard_normal(self):
        values = noise.initial_noise(range(64), (4, 32, 32))
        later = torch.stack([torch.randn(4, 32, 32, generator=g) for g in noise.step_generators(range(64))])
        for sample in (values, later):
            assert abs(float(sample.mean())) < 0.01
            assert abs(float(sample.std()) - 1) < 0.01
            assert abs(float((sample**4).mean()) - 3) < 0.1

    @pytest.mark.parametrize("seed", [-1, 2**64])
    def test_a_seed_of_more_than_64_bits_is_refused(self, seed):
        with pytest.raises(InputError, match="not a 64-bit number"):
            noise.checked([seed])


class TestIndependence:
    def test_of_order_bit_for_bit(self, generator, embedding_5D):
        order = [3, 0, 4, 2, 1]
        straight = generator.sample(embedding_5D, SEEDS, **FEW)
        shuffled = generator.sample(embedding_5D[order], [SEEDS[k] for k in order], **FEW)
        assert np.array_equal(straight[order], shuffled)

    def test_of_the_neighbours_bit_for_bit(self, generator, embedding_5D):
        straight = generator.sample(embedding_5D, SEEDS, **FEW)
        others = embedding_5D[::-1].copy()
        others[2] = embedding_5D[2]
        among = generator.sample(others, [7, 8, SEEDS[2], 9, 10], **FEW)
        assert np.array_equal(straight[2], among[2])

    def test_of_the_number_of_pictures_bit_for_bit_in_a_fixed_batch_shape(self, generator, embedding_5D):
        shape = {"batch_size": 2, "fixed_batch_shape": True}
        five = generator.sample(embedding_5D, SEEDS, **FEW, **shape)
        last = generator.sample(embedding_5D[4:], SEEDS[4:], **FEW, **shape)
        assert np.array_equal(five[4:], last)

    def test_of_the_batch_size_within_rounding(self, generator, embedding_5D):
        together = generator.sample(embedding_5D, SEEDS, **FEW).astype(int)
        for size in (1, 2, 3):
            apart = generator.sample(embedding_5D, SEEDS, batch_size=size, **FEW).astype(int)
            assert np.abs(together - apart).max() <= TOLERANCE

    def test_of_the_batch_size_in_bfloat16_within_its_rounding(self, checkpoint, embedding_5D):
        from synthface.generator import Arc2Face

        half = Arc2Face.from_pretrained(checkpoint, dtype="bfloat16", device="cpu")
        whole = half.sample(embedding_5D, SEEDS, **FEW).astype(int)
        for size in (1, 2, 3):
            apart = np.abs(half.sample(embedding_5D, SEEDS, batch_size=size, **FEW) - whole)
            assert apart.max() <= TOLERANCE

    def test_of_the_batch_under_a_sampler_that_draws_noise_at_each_step(self, generator, embedding_5D):
        options = {"scheduler": "LCMScheduler", "num_inference_steps": 4, "guidance_scale": 1.0}
        together = generator.sample(embedding_5D, SEEDS, **options).astype(int)
        alone = generator.sample(embedding_5D[3:4], SEEDS[3:4], **options).astype(int)
        assert np.abs(together[3:4] - alone).max() <= TOLERANCE

    def test_two_seeds_give_two_pictures_of_one_person(self, generator, embedding_5D):
        pair = generator.sample(embedding_5D[[0, 0]], [1, 2], **FEW)
        assert not np.array_equal(*pair)


class _Toy:
    """A UNet of one line: a function of each row alone, so that a scheduler's mixing of rows would be seen."""

    dtype = torch.float32

    def __call__(self, latent_BCHW, timestep, encoder_hidden_states, return_dict):
        return (torch.tanh(latent_BCHW + encoder_hidden_states.mean((1, 2))[:, None, None, None] / 10),)


def _run(name, config, rows):
    prompt_BLE = torch.linspace(-1, 1, 6).reshape(3, 2, 1)[rows]
    return denoise(
        _Toy(),
        make_scheduler(name, config, 6, "cpu"),
        noise.initial_noise([1, 2, 3], (4, 4, 4))[rows],
        prompt_BLE,
        torch.zeros(1, 2, 1),
        Guidance(2.0),
        [noise.step_generators([1, 2, 3])[row] for row in rows],
    )


def _all_schedulers():
    return [name for name in dir(diffusers) if name.endswith("Scheduler") and not name.startswith(("Flax", "_"))]


USUAL = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    # that of diffusers 0.30 fails under numpy 2, which we say as of any scheduler that cannot run
    *(["DPMSolverSinglestepScheduler"] if Version(diffusers.__version__) >= Version("0.31") else []),
    "DEISMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_schedulers_run_and_keep_pictures_apart(generator, name):
    with torch.inference_mode():
        together = _run(name, generator.schedule, [0, 1, 2])
        alone = _run(name, generator.schedule, [1])
    assert torch.isfinite(together).all()
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def _outcome(name, config):
    try:
        with torch.inference_mode():
            return _run(name, config, [0, 1, 2]), _run(name, config, [1])
    except RecipeError as error:
        return error


def test_every_other_scheduler_runs_and_keeps_pictures_apart_or_is_refused_with_a_sentence(generator):
    outcomes = {name: _outcome(name, generator.schedule) for name in _all_schedulers() if name not in USUAL}
    refused = {name: error for name, error in outcomes.items() if isinstance(error, RecipeError)}
    for name, error in refused.items():
        assert error.problem.startswith(f"generator.scheduler: {name}")
        assert error.fix
    for name, (together, alone) in ((name, o) for name, o in outcomes.items() if name not in refused):
        assert torch.isfinite(together).all(), name
        assert torch.allclose(together[1:2], alone, atol=1e-4), name
    assert {"FlowMatchEulerDiscreteScheduler", "DPMSolverSDEScheduler"} <= set(refused)


def test_an_unknown_scheduler_is_refused_with_a_suggestion(generator):
    with pytest.raises(RecipeError, match="Did you mean 'DDIMScheduler'"):
        make_scheduler("DDIMSheduler", generator.schedule, 5, "cpu")


class _Counting:
    """A UNet that counts the rows it was asked for."""

    dtype = torch.float32

    def __init__(self):
        self.rows = []

    def __call__(self, latent_BCHW, timestep, encoder_hidden_states, return_dict):
        self.rows.append(len(latent_BCHW))
        return (torch.zeros_like(latent_BCHW),)


@pytest.mark.parametrize(
    ("guidance", "rows"),
    [
        (Guidance(3.0), [4] * 10),
        (Guidance(1.0), [2] * 10),
        (Guidance(3.0, batched=False), [2] * 20),
        # timesteps 999, 899, 799, 699, 599, 500, 400, 300, 200, 100 of 1,000
        (Guidance(3.0, interval=(0.5, 1.0)), [4] * 5 + [2] * 5),
        (Guidance(3.0, interval=(0.2, 0.6)), [2] * 4 + [4] * 4 + [2] * 2),
        (Guidance(3.0, interval=(0.0, 0.5)), [2] * 5 + [4] * 5),
        (Guidance(3.0, interval=(0.0, 0.0)), [2] * 10),
    ],
)
def test_guidance_costs_what_it_should(generator, guidance, rows):
    unet = _Counting()
    scheduler = make_scheduler("DPMSolverMultistepScheduler", generator.schedule, 10, "cpu")
    denoise(unet, scheduler, torch.zeros(2, 1, 2, 2), torch.zeros(2, 3, 4), torch.zeros(1, 3, 4), guidance)
    assert unet.rows == rows


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"])
@pytest.mark.parametrize("karras", [False, True])
def test_guidance_goes_by_the_noise_level_and_not_by_the_number_of_the_step(generator, name, karras):
    config = {**generator.schedule, "use_karras_sigmas": karras}
    scheduler = make_scheduler(name, config, 10, "cpu")
    wanted = [4 if 200 < timestep <= 600 else 2 for timestep in scheduler.timesteps.tolist()]
    unet = _Counting()
    guidance = Guidance(3.0, interval=(0.2, 0.6))
    denoise(unet, scheduler, torch.zeros(2, 1, 2, 2), torch.zeros(2, 3, 4), torch.zeros(1, 3, 4), guidance)
    assert unet.rows == wanted
    assert {2, 4} == set(wanted)


@pytest.mark.parametrize("level", [-0.3, 0.0, 0.001, 0.999, 1.0, 1.2])
def test_guidance_is_on_at_every_level_unless_told_otherwise(level):
    assert Guidance(3.0).on(level)
    assert not Guidance(3.0, interval=(0.0, 0.0)).on(level)


def test_guidance_of_one_equals_no_guidance_and_zero_is_the_empty_prompt(generator, embedding_5D):
    options = {"num_inference_steps": 3}
    one = generator.sample(embedding_5D[:2], [1, 2], guidance_scale=1.0, **options)
    off = generator.sample(embedding_5D[:2], [1, 2], guidance_scale=3.0, guidance_interval=(0.0, 0.0), **options)
    assert np.array_equal(one, off)
    zero = generator.sample(embedding_5D[:2], [1, 1], guidance_scale=0.0, **options)
    assert np.abs(zero[0].astype(int) - zero[1].astype(int)).max() <= 1


def test_decoding_in_slices_gives_the_same_pictures(generator):
    latent_BCHW = noise.initial_noise(range(5), (4, 8, 8)) * 5
    with torch.inference_mode():
        whole, sliced = decode(generator.vae, latent_BCHW), decode(generator.vae, latent_BCHW, at_once=2)
    assert torch.allclose(whole, sliced, atol=1e-5)


def test_the_tiny_autoencoder_takes_the_place_of_the_other(checkpoint, embedding_5D):
    from synthface.generator import Arc2Face

    torch.manual_seed(0)
    tiny = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8), latent_channels=4
    )
    tiny.save_pretrained(checkpoint.parent / "tiny")
    generator = Arc2Face.from_pretrained(checkpoint, dtype="float32", device="cpu", vae=checkpoint.parent / "tiny")
    assert generator.image_size == 64
    latent_BCHW = noise.initial_noise([3], (4, 8, 8))
    with torch.inference_mode():
        expected = (tiny.eval().decode(latent_BCHW / tiny.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
        assert torch.allclose(decode(generator.vae, latent_BCHW), expected, atol=1e-5)
    assert generator.sample(embedding_5D[:1], [3], num_inference_steps=2).shape == (1, 64, 64, 3)


def test_half_precision_and_channels_last_give_nearly_the_same_pictures(checkpoint, generator, embedding_5D):
    from synthface.generator import Arc2Face

    exact = generator.sample(embedding_5D[:2], [1, 2], **FEW).astype(int)
    for options, limit in (({"dtype": "bfloat16"}, 6.0), ({"dtype": "float32", "channels_last": True}, 0.1)):
        other = Arc2Face.from_pretrained(checkpoint, device="cpu", **options)
        last = other.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
        assert (last, str(other.dtype)) == ("channels_last" in options, f"torch.{options['dtype']}")
        assert np.abs(other.sample(embedding_5D[:2], [1, 2], **FEW).astype(int) - exact).mean() < limit


def test_no_embeddings_give_no_pictures(generator, embedding_5D):
    assert generator.encode(embedding_5D[:0]).shape == (0, *generator.encode(embedding_5D).shape[1:])
    assert generator.sample(embedding_5D[:0], []).shape == (0, 64, 64, 3)


class TestOutOfMemory:
    def test_prompts_count_too(self, generator, embedding_5D, monkeypatch):
        real = generator.conditioner.forward

        def forward(unit_ND, *arguments):
            if len(unit_ND) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(unit_ND, *arguments)

        monkeypatch.setattr(generator.conditioner, "forward", forward)
        with pytest.raises(ResourceError, match=r"5 pictures does not fit .* 2 fits"):
            generator.sample(embedding_5D, SEEDS, **FEW)

    @pytest.mark.parametrize(
        "error",
        [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    )
    @pytest.mark.parametrize(("rows", "match"), [(5, "5 pictures does not fit .* 2 fits"), (1, "not even one picture")])
    def test_says_which_batch_fits(self, generator, embedding_5D, monkeypatch, error, rows, match):
        real = generator.unet.forward

        def forward(latent_BCHW, *arguments, **options):
            if len(latent_BCHW) > rows:
                raise error
            return real(latent_BCHW, *arguments, **options)

        monkeypatch.setattr(generator.unet, "forward", forward)
        with pytest.raises(ResourceError, match=match) as caught:
            generator.sample(embedding_5D, SEEDS, **FEW)
        assert "generator.batch_size=2" in caught.value.fix or rows == 1

    def test_a_compiler_that_fails_is_one_sentence(self, generator, embedding_5D, monkeypatch):
        from torch._dynamo.exc import TorchDynamoException

        def forward(*_, **__):
            raise TorchDynamoException("no working C++ compiler\nand how it was looked for")

        monkeypatch.setattr(generator.unet, "forward", forward)
        with pytest.raises(SynthfaceError, match=r"torch\.compile failed on the UNet: no working C") as caught:
            generator.sample(embedding_5D[:1], [1], **FEW)
        assert caught.value.fix.endswith("--set generator.compile=false.")
        assert "\n" not in str(caught.value)
        assert not isinstance(caught.value, ResourceError), "which is read as the end of the memory"

    def test_other_errors_are_not_hidden(self, generator, embedding_5D, monkeypatch):
        monkeypatch.setattr(generator.unet, "forward", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            generator.sample(embedding_5D[:1], [1], **FEW)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"seeds": [1]}, InputError, "1 seeds were given for 2 embeddings"),
        ({"seeds": [1, 2**64]}, InputError, "not a 64-bit number"),
        ({"seeds": [1, 2], "control": np.zeros((64, 64, 3), np.uint8)}, UsageError, "no ControlNet"),
        ({"seeds": [1, 2], "scheduler": "Nonsense"}, RecipeError, "diffusers has no scheduler"),
    ],
)
def test_what_does_not_fit_is_refused(generator, embedding_5D, arguments, error, match):
    with pytest.raises(error, match=re.escape(match)) as caught:
        generator.sample(embedding_5D[:2], **arguments)
    assert isinstance(caught.value, SynthfaceError)
    assert caught.value.fix
