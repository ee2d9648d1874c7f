"""From a recipe to a generator: shipped, pulled, or in a folder."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from generator_samples import GOLDEN

from synthface.errors import MissingWeightsError
from synthface.generator import open_generator, sampling_options
from synthface.recipe.pictures import GeneratorRecipe


def test_a_folder_and_its_base(embedding_5D):
    recipe = GeneratorRecipe(
        model=str(GOLDEN / "checkpoint"),
        base=str(GOLDEN / "checkpoint" / "base"),
        num_inference_steps=2,
        dtype="float32",
    )
    generator = open_generator(recipe, "cpu")
    drawn = generator.sample(embedding_5D, range(5), **sampling_options(recipe))
    assert drawn.shape == (5, 64, 64, 3)


def test_the_shipped_one(monkeypatch, tmp_path):
    from synthface.zoo import shipped

    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(MissingWeightsError, match="'embedded' that ships with synthface"):
        open_generator(GeneratorRecipe(), "cpu")
    shutil.copytree(GOLDEN / "checkpoint", tmp_path / "generator")
    assert open_generator(GeneratorRecipe(), "cpu").dimension == 512


def test_a_public_one_that_was_not_pulled_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHFACE_MODELS", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="arc2face"):
        open_generator(GeneratorRecipe(model="arc2face"), "cpu")


def test_every_value_of_the_recipe_that_samples_reaches_the_loop(generator, embedding_5D, monkeypatch):
    recipe = GeneratorRecipe(
        scheduler="DDIMScheduler",
        spacing="trailing",
        num_inference_steps=3,
        guidance_scale=1.5,
        guidance_interval=(0.0, 0.4),
        batched_guidance=False,
        batch_size=2,
        vae_slice=1,
    )
    assert sampling_options(recipe).keys() <= recipe.model_dump().keys()
    assert all(getattr(recipe, key) == value for key, value in sampling_options(recipe).items())
    calls = {"unet": [], "vae": []}
    for seen, owner, name in ((calls["unet"], generator.unet, "forward"), (calls["vae"], generator.vae, "decode")):
        real = getattr(owner, name)

        def counting(latent_BCHW, *rest, real=real, seen=seen, **more):
            seen.append(len(latent_BCHW))
            return real(latent_BCHW, *rest, **more)

        monkeypatch.setattr(owner, name, counting)
    drawn = generator.sample(embedding_5D[:3], [1, 2, 3], **sampling_options(recipe))
    wanted = generator.sample(
        embedding_5D[:3],
        [1, 2, 3],
        scheduler="DDIMScheduler",
        spacing="trailing",
        num_inference_steps=3,
        guidance_scale=1.5,
        guidance_interval=(0.0, 0.4),
        batch_size=2,
        batched_guidance=False,
        vae_slice=1,
    )
    assert np.array_equal(drawn, wanted)
    assert max(calls["unet"]) == 2, "the halves of the guidance one after the other"
    assert set(calls["vae"]) == {1}, "pictures decoded one by one"
