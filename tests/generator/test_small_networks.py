"""The networks of a generator from nothing: what their normalisation keeps, and where the prompt goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_training import train

from synthface import recipe as recipes
from synthface.errors import RecipeError
from synthface.generator import Arc2Face
from synthface.generator.training import networks
from synthface.recipe.pictures import SmallAutoencoderRecipe, SmallUNetRecipe


class TestNetworks:
    @pytest.mark.parametrize(
        ("channels", "groups"), [((64, 128, 192), 8), ((16, 32, 64, 64), 2), ((8, 16), 1), ((320, 640), 32)]
    )
    def test_no_group_of_a_normalisation_has_fewer_than_eight_channels(self, channels, groups):
        vae = networks.make_vae(SmallAutoencoderRecipe(channels=channels), 2 ** len(channels))
        norms = [module for module in vae.modules() if isinstance(module, torch.nn.GroupNorm)]
        assert {norm.num_groups for norm in norms} == {groups}
        assert min(norm.num_channels // norm.num_groups for norm in norms) >= 8

    def test_the_groups_of_a_recipe_are_taken(self):
        unet = networks.make_unet(SmallUNetRecipe(norm_num_groups=32), 8, 4, 64)
        assert unet.config.norm_num_groups == 32

    def test_groups_of_one_channel_forget_the_light(self):
        """The same untrained decoder, its latents once brighter by a constant: what is left of the difference in the picture."""
        kept = {}
        for groups in (1, 16):
            torch.manual_seed(0)
            vae = networks.make_vae(SmallAutoencoderRecipe(channels=(16, 16, 16), norm_num_groups=groups), 32).eval()
            latent_BCHW = torch.randn(4, 4, 8, 8)
            with torch.inference_mode():
                one, other = (vae.decode(latent_BCHW + light).sample.mean((2, 3)) for light in (0.0, 2.0))
            kept[groups] = (one - other).abs().mean().item()
        assert kept[16] < 0.5 * kept[1]

    @pytest.mark.parametrize("everywhere", [False, True])
    def test_the_prompt_reaches_blocks_that_do_not_attend_where_it_is_asked_to(self, everywhere):
        recipe = SmallUNetRecipe(
            channels=(16, 16), attention=(False, False), head_size=16, prompt_everywhere=everywhere
        )
        torch.manual_seed(0)
        unet = networks.make_unet(recipe, 8, 4, 64).eval()
        torch.nn.init.zeros_(
            unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_out[0].weight
        )  # it always attends
        latent_BCHW, prompt_BLE = torch.randn(1, 4, 8, 8), torch.randn(2, 1, 5, 64)
        with torch.inference_mode():
            one, other = (unet(latent_BCHW, 500, prompt).sample for prompt in prompt_BLE)
        assert torch.allclose(one, other) != everywhere

    def test_a_small_network_that_is_told_the_prompt_everywhere_trains_and_draws(self, world, tmp_path):
        unet = {"channels": [16, 32], "attention": [False, True], "head_size": 16, "prompt_everywhere": True}
        train(world, tmp_path / "generator", **{"train_generator.unet": unet, "train_generator.beta_end": 0.02})
        generator = Arc2Face.from_pretrained(tmp_path / "generator", device="cpu")
        assert generator.schedule["beta_end"] == 0.02
        pictures = generator.sample(np.eye(16)[:2], [1, 1], num_inference_steps=2, spacing="lu")
        assert not np.array_equal(*pictures)

    @pytest.mark.parametrize("part", ["unet", "vae"])
    def test_groups_that_do_not_divide_the_channels_are_refused(self, part):
        with pytest.raises(RecipeError, match="norm_num_groups 5 does not divide all of the channels"):
            recipes.build({}, {f"train_generator.{part}.norm_num_groups": 5})
