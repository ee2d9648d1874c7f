"""The last stage of a generator from nothing: its decoder alone, against a critic."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from generator_samples import tensors
from tiny_training import TINY, same, train

from synthface import recipe as recipes
from synthface.generator.training import critic, networks
from synthface.recipe.pictures import SmallAutoencoderRecipe
from synthface.seeds import generator


@pytest.fixture(scope="module")
def straight(world, tmp_path_factory):
    """Six steps in one go."""
    out = tmp_path_factory.mktemp("straight") / "generator"
    return out, train(world, out)


class TestDecoder:
    """The last stage: the decoder alone, against a critic."""

    LATER: ClassVar = {"train_generator.decoder": {"steps": 4, "batch_size": 4, "critic_channels": [8, 16]}}

    @pytest.fixture(scope="class")
    def finished(self, world, tmp_path_factory):
        out = tmp_path_factory.mktemp("finished") / "generator"
        return out, train(world, out, **self.LATER)

    def test_all_else_keeps_its_bits(self, straight, finished):
        before, after = tensors(straight[0]), tensors(finished[0])
        changed = {key for key, value in before.items() if not torch.equal(value, after[key])}
        assert set(before) == set(after), "the critic is not shipped"
        assert any("decoder" in key for key in changed)
        assert all("decoder" in key or "post_quant_conv" in key for key in changed), changed
        assert finished[1]["decoder"]["steps"] == 4
        cached = [path.with_name("generator-training") / "cache" / "latents.npy" for path in (straight[0], finished[0])]
        assert cached[0].read_bytes() == cached[1].read_bytes()

    def test_a_finished_generator_can_have_it_later(self, world, finished, tmp_path):
        train(world, tmp_path / "generator")
        train(world, tmp_path / "generator", **self.LATER)
        assert same(finished[0], tmp_path / "generator")

    def test_going_on_gives_the_same_bits(self, world, finished, tmp_path):
        half = {"train_generator.decoder": {**self.LATER["train_generator.decoder"], "steps": 2}}
        train(world, tmp_path / "generator", **half)
        train(world, tmp_path / "generator", **self.LATER)
        assert same(finished[0], tmp_path / "generator")

    @pytest.fixture
    def small(self):
        """Decoder and critic, untrained; and the first stage's part, whose only error is that of pixels."""
        torch.manual_seed(0)
        network = critic.Finishing(
            networks.make_vae(recipes.build({}, TINY).train_generator.vae, 32), critic.Critic([8, 16])
        )
        picture, normal = torch.rand(2, 3, 32, 32), torch.randn(2, 2, 16, 16)

        class First:
            seed = 0

            def batch(self, samples):
                return picture, normal

            def errors(self, again_BCHW, picture_BCHW):
                return (again_BCHW - picture_BCHW).abs().mean(), {}

        return network, First()

    def test_the_critic_learns_from_its_own_loss_alone(self, small):
        network, first = small
        _, photograph, drawn = network(*first.batch(range(2)), torch.zeros(2))
        (photograph.sum() + drawn.sum()).backward()
        assert all(parameter.grad is None for parameter in network.vae.parameters())
        assert all(parameter.grad is not None for parameter in network.critic.parameters())

    @pytest.mark.parametrize("weight", [0.0, 0.7])
    def test_the_decoder_learns_from_its_errors_and_from_the_critic_as_much_as_asked(self, small, weight):
        network, first = small
        texture = critic.Texture(first, network.critic, weight, 0.0)
        values = texture(network, range(2))
        values["loss"].backward()
        found = {key: value.grad.clone() for key, value in network.vae.decoder.named_parameters()}
        assert all(parameter.grad is None for parameter in network.vae.encoder.parameters())

        again, photograph, drawn = network(*first.batch(range(2)), torch.zeros(2))
        error = first.errors(again, first.batch(range(2))[0])[0]
        opinion = -network.critic(again).mean()
        of_error, of_opinion = (torch.autograd.grad(part, again, retain_graph=True)[0] for part in (error, opinion))
        scale = weight * of_error.norm() / of_opinion.norm()
        network.zero_grad()
        (error + scale * opinion).backward()
        assert (scale * of_opinion).norm() == pytest.approx(weight * of_error.norm().item(), rel=1e-5)
        for key, value in network.vae.decoder.named_parameters():
            assert torch.allclose(found[key], value.grad, rtol=1e-4, atol=1e-7), key
        own = torch.relu(1 - photograph).mean() + torch.relu(1 + drawn).mean()
        assert values["loss"].item() == pytest.approx((error + scale * opinion + own).item(), rel=1e-5)
        assert values["critic"].item() == pytest.approx(own.item(), rel=1e-5)

    def test_processes_with_a_part_of_the_batch_each_decide_what_one_with_the_whole_does(self, small, monkeypatch):
        network, first = small
        picture, normal = torch.rand(4, 3, 32, 32), torch.randn(4, 2, 16, 16)
        picture[2:] *= 0.1  # the two parts have unlike errors
        first.batch = lambda samples: (picture[list(samples)], normal[list(samples)])
        texture = critic.Texture(first, network.critic, 0.7, 0.0)

        def learned(samples):
            network.zero_grad()
            texture(network, samples)["loss"].backward()
            return {key: value.grad.clone() for key, value in network.named_parameters() if value.requires_grad}

        whole, squares = learned(range(4)), []
        monkeypatch.setattr(critic.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(critic.distributed, "all_reduce", lambda part: squares.append(part.clone()))
        parts = range(2), range(2, 4)
        alone = [learned(part) for part in parts]
        monkeypatch.setattr(critic.distributed, "all_reduce", lambda part: part.copy_(sum(squares)))
        together = [learned(part) for part in parts]

        def apart(gradients):
            return max(float((sum(one[key] for one in gradients) / 2 - whole[key]).abs().max()) for key in whole)

        assert apart(together) < 1e-6 < 5e-5 < apart(alone)

    def test_each_pictures_latents_are_as_noisy_as_its_own_draw_says(self, small):
        network, first = small
        seen = []
        decode = network.vae.decode
        network.vae.decode = lambda latent, **options: (seen.append(latent), decode(latent, **options))[1]
        for texture in (critic.Texture(first, network.critic, 0.7, noise) for noise in (0.0, 2.0)):
            texture(network, range(5, 7))
        moved_B = (seen[1] - seen[0]).flatten(1).std(1)
        normal_B = first.batch(range(2))[1].flatten(1).std(1)
        levels = [2.0 * generator(0, "decoder", sample).random() for sample in (5, 6)]
        assert (moved_B / normal_B).tolist() == pytest.approx(levels, abs=0.06)  # e⁻³ is the posterior's own

    def test_a_critic_brings_back_the_grain_that_errors_of_pixels_take(self):
        """Pictures of noise that the latents do not hold: by errors alone the best picture is grey, with a critic grainy."""
        grain = {}
        for weight in (0.0, 0.7):
            torch.manual_seed(0)
            recipe = SmallAutoencoderRecipe(channels=(8, 8, 8), latent_channels=1)
            network = critic.Finishing(networks.make_vae(recipe, 16), critic.Critic([16, 32]))
            rng = torch.Generator().manual_seed(1)

            class Noise:
                seed = 0

                def batch(self, samples, rng=rng):
                    return torch.randn(8, 3, 16, 16, generator=rng) / 2, torch.randn(8, 1, 4, 4, generator=rng)

                def errors(self, again_BCHW, picture_BCHW):
                    return (again_BCHW - picture_BCHW).abs().mean(), {}

            first = Noise()
            texture = critic.Texture(first, network.critic, weight, 0.0)
            optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 3e-3, betas=(0.5, 0.95))
            for _ in range(80):
                optimizer.zero_grad()
                texture(network, range(8))["loss"].backward()
                optimizer.step()
            with torch.inference_mode():
                grain[weight] = network(*first.batch(range(8)), torch.zeros(8))[0].diff(dim=-1).abs().mean().item()
        assert grain[0.7] > 3 * grain[0.0]
