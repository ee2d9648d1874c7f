"""Schedulers: any of diffusers', made anew for every batch because they remember their steps."""

from __future__ import annotations

import inspect
from typing import Any

from synthface.errors import RecipeError, did_you_mean

# Draws noise for the whole batch from one seed of its own: a picture would depend on its neighbours.
_SHARED_NOISE = ("DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler")
_EVENLY = ("linspace", "leading", "trailing")  # in time
_BY_NOISE = {  # what a scheduler calls them
    "karras": "use_karras_sigmas",
    "exponential": "use_exponential_sigmas",
    "beta": "use_beta_sigmas",
    "lu": "use_lu_lambdas",
}


def make_scheduler(
    name: str, config: dict[str, Any], num_inference_steps: int, device: Any, spacing: str = "checkpoint"
) -> Any:
    """The scheduler `name` over the checkpoint's noise schedule `config`, its timesteps set.

    spacing: where they lie, one of the recipe's `generator.spacing`; checkpoint: as `config` says.

    Raises RecipeError for names that diffusers has not, for schedulers of another kind of network (flow matching, tokens,
    video) and for those without noise of each picture's own.
    """
    import diffusers

    known = [entry for entry in dir(diffusers) if entry.endswith("Scheduler") and not entry.startswith("Flax")]
    if name not in known:
        raise RecipeError(
            f"generator.scheduler: diffusers has no scheduler '{name}'.",
            f"{did_you_mean(name, known)} For example DPMSolverMultistepScheduler or LCMScheduler.".strip(),
        )
    if name in _SHARED_NOISE:
        raise RecipeError(
            f"generator.scheduler: {name} draws one noise for the whole batch, so that a picture would depend on its "
            "neighbours.",
            "Use DPMSolverMultistepScheduler with algorithm_type sde-dpmsolver++, or another scheduler.",
        )
    kind = getattr(diffusers, name)
    if not _follows_betas(kind):
        raise RecipeError(
            f"generator.scheduler: {name} is not for networks that predict the noise of a schedule of betas, as Stable "
            "Diffusion's do.",
            "Use DPMSolverMultistepScheduler, UniPCMultistepScheduler, EulerDiscreteScheduler or the like.",
        )
    try:
        scheduler = kind.from_config({**config, **_spaced(kind, spacing)})
        scheduler.set_timesteps(num_inference_steps, device=device)
    except (TypeError, ValueError, ImportError, NotImplementedError) as error:
        raise RecipeError(
            f"generator.scheduler: {name} cannot run {num_inference_steps} steps on this checkpoint's noise schedule: "
            f"{error}",
            "Change generator.num_inference_steps or the scheduler.",
        ) from error
    return scheduler


def _spaced(kind: Any, spacing: str) -> dict[str, Any]:
    """The scheduler's settings for a spacing, one in place of any other that the checkpoint asks for."""
    if spacing == "checkpoint":
        return {}
    accepted = inspect.signature(kind.__init__).parameters
    settings: dict[str, Any] = {key: False for key in _BY_NOISE.values() if key in accepted}
    key, value = ("timestep_spacing", spacing) if spacing in _EVENLY else (_BY_NOISE[spacing], True)
    if key not in accepted:
        possible = [other for other, name in _BY_NOISE.items() if name in accepted]
        possible = [*(_EVENLY if "timestep_spacing" in accepted else ()), *possible, "checkpoint"]
        raise RecipeError(
            f"generator.spacing: {kind.__name__} knows no spacing '{spacing}'.", f"It knows {', '.join(possible)}."
        )
    return {**settings, key: value}


def _follows_betas(kind: Any) -> bool:
    """Whether a scheduler class takes the checkpoint's betas, and steps by prediction, timestep and sample alone."""
    if not (hasattr(kind, "step") and hasattr(kind, "scale_model_input")):
        return False
    parameters = inspect.signature(kind.step).parameters.values()
    needed = {part.name for part in parameters if part.default is part.empty and part.kind is not part.VAR_KEYWORD}
    return "beta_start" in inspect.signature(kind.__init__).parameters and needed <= {
        "self",
        "model_output",
        "timestep",
        "sample",
    }


def step_arguments(scheduler: Any, generators: Any) -> dict[str, Any]:
    """What `scheduler.step` takes beside the usual: the pictures' own generators, where it draws noise."""
    accepted = inspect.signature(scheduler.step).parameters
    return {"generator": generators} if "generator" in accepted else {}
