"""Where the steps lie between noise and picture, and what it does to few of them."""

from __future__ import annotations

import diffusers
import pytest
import torch

from synthface.errors import RecipeError
from synthface.generator.schedule import make_scheduler
from synthface.generator.training import networks


class TestSpacing:
    @pytest.mark.parametrize(
        ("spacing", "key"),
        [
            ("trailing", {"timestep_spacing": "trailing"}),
            ("leading", {"timestep_spacing": "leading"}),
            ("karras", {"use_karras_sigmas": True}),
            ("lu", {"use_lu_lambdas": True}),
        ],
    )
    def test_steps_lie_where_diffusers_own_setting_puts_them(self, generator, spacing, key):
        name = "DPMSolverMultistepScheduler"
        ours = make_scheduler(name, generator.schedule, 9, "cpu", spacing)
        theirs = diffusers.DPMSolverMultistepScheduler.from_config(generator.schedule, **key)
        theirs.set_timesteps(9)
        assert ours.timesteps.tolist() == theirs.timesteps.tolist()
        assert torch.equal(ours.sigmas, theirs.sigmas)

    def test_the_checkpoints_own_spacing_stays_or_gives_way(self, generator):
        config = {**generator.schedule, "use_karras_sigmas": True}
        kept = make_scheduler("EulerDiscreteScheduler", config, 9, "cpu")
        other = make_scheduler("EulerDiscreteScheduler", config, 9, "cpu", "trailing")
        assert kept.config.use_karras_sigmas
        assert not other.config.use_karras_sigmas
        assert other.config.timestep_spacing == "trailing"

    def test_a_spacing_that_a_scheduler_has_not_is_refused(self, generator):
        with pytest.raises(RecipeError, match="DDIMScheduler knows no spacing 'karras'") as caught:
            make_scheduler("DDIMScheduler", generator.schedule, 9, "cpu", "karras")
        assert caught.value.fix == "It knows linspace, leading, trailing, checkpoint."

    def test_steps_even_in_the_logarithm_keep_what_few_steps_even_in_time_lose(self):
        """Latents of a known Gaussian, denoised perfectly by ten steps, must come out with that Gaussian's spread.

        Their mean is common to 196 positions and seen through much noise; the rest, of deviation .4, is the detail. What
        Stable Diffusion's schedule leaves of the signal at its end tells the mean, which noise alone cannot replace.
        """
        shipped, further = networks.SCHEDULE, {**networks.SCHEDULE, "beta_end": 0.02}
        assert _spread(shipped, "linspace") == pytest.approx((0.69, 0.75), abs=0.02)
        assert _spread(shipped, "lu") == pytest.approx((0.69, 1.02), abs=0.02)
        assert _spread(further, "lu") == pytest.approx((0.97, 1.02), abs=0.02)


def _spread(config, spacing, side=14, detail=0.4, rows=2000):
    """Deviation of the latents' mean, which should be 1, and of the rest over `detail`, which should be 1 as well."""
    config = {**config, "prediction_type": "v_prediction"}
    scheduler = make_scheduler("DPMSolverMultistepScheduler", config, 10, "cpu", spacing)
    latent_BCHW = torch.randn(rows, 1, side, side, generator=torch.Generator().manual_seed(0))
    mean_variance = 1 + detail**2 / side**2
    for timestep in scheduler.timesteps:
        alpha = scheduler.alphas_cumprod[int(timestep)]
        mean_B111 = latent_BCHW.mean((1, 2, 3), keepdim=True)
        clean_BCHW = mean_B111 * alpha.sqrt() * mean_variance / (alpha * mean_variance + (1 - alpha) / side**2)
        shrunk = alpha.sqrt() * detail**2 / (alpha * detail**2 + 1 - alpha)
        clean_BCHW = clean_BCHW + shrunk * (latent_BCHW - mean_B111)
        velocity_BCHW = (alpha.sqrt() * latent_BCHW - clean_BCHW) / (1 - alpha).sqrt()
        latent_BCHW = scheduler.step(velocity_BCHW, timestep, latent_BCHW).prev_sample
    mean_B = latent_BCHW.mean((1, 2, 3))
    return mean_B.std().item(), latent_BCHW.std((1, 2, 3)).mean().item() / detail
