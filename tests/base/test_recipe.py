"""Recipes: one schema, all errors at once, and what decides bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from synthface import recipe as recipes
from synthface.errors import RecipeError
from synthface.recipe import reference


@pytest.mark.parametrize("name", sorted(recipes.available()))
def test_every_shipped_recipe_is_valid_and_describes_itself(name: str) -> None:
    chosen = recipes.load(name)
    assert chosen.name == name
    assert len(chosen.description) > 20
    assert recipes.available()[name].read_text().startswith("#")


def test_every_key_says_what_it_means() -> None:
    for key in reference.all_keys():
        assert len(key.meaning) > 6, key.path
        assert key.meaning.endswith("."), key.path
    for section in reference.sections():
        assert section.meaning.endswith("."), section.path


def test_the_reference_tells_values_defaults_and_limits() -> None:
    known = {key.path: key for key in reference.all_keys()}
    assert known["identities.threshold"].kind == "number > -1, < 1"
    assert known["identities.threshold"].default == "0.3"
    assert known["seed"].kind == "whole number ≥ 0, < 2⁶⁴"
    assert known["perturb.target_cosine"].kind == "number > 0, ≤ 1 or null"
    assert known["perturb.mixture"].kind == "list of {share, target_cosine, method}"
    assert known["perturb.mixture[].share"].default == "required"
    assert known["generator.guidance_interval"].kind == "list of number and number"
    assert known["train.augment.flip"].kind == "number ≥ 0, ≤ 1"
    assert known["identities.density"].kind == "one of gaussian, mixture"
    plain = set(recipes.known_keys()) - {section.path for section in reference.sections()}
    assert plain == {path for path in known if "[]" not in path}


def test_a_written_recipe_is_read_back_equal(tmp_path: Path) -> None:
    chosen = recipes.load("embedded", ["identities.threshold=0.25", "identities.exclude=[a.npy, b.npy]", "seed=7"])
    recipes.write(chosen, tmp_path / "r.yaml")
    assert recipes.load(tmp_path / "r.yaml") == chosen
    assert chosen.identities.exclude == ("a.npy", "b.npy")


def test_all_problems_are_listed_at_once_with_path_and_suggestion(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "seed: -1\nidentities:\n  treshold: 0.2\n  count: none\nperturb:\n  method: gaussian\ncomponents: 3\n"
    )
    with pytest.raises(RecipeError) as caught:
        recipes.load(tmp_path / "bad.yaml")
    text = str(caught.value)
    assert "has 5 problems" in text
    assert "identities.treshold: unknown key. Did you mean 'identities.threshold'?" in text
    assert "identities.count: input should be a valid integer" in text
    assert "perturb.method: input should be 'none', 'within-class'" in text
    assert "components: unknown key. Did you mean" in text
    assert "seed: input should be greater than or equal to 0" in text
    assert "`synthface recipe show` lists every key" in text


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one() -> None:
    with pytest.raises(RecipeError, match=r"Did you mean 'identities\.min_acceptance'"):
        recipes.load("embedded", ["perturb.min_acceptance=0.1"])


def test_sections_check_what_belongs_together() -> None:
    with pytest.raises(RecipeError, match=r"perturb: the shares of `mixture` sum to 0\.5 instead of 1"):
        recipes.load("embedded", ["perturb.method=mixture", "perturb.mixture=[{share: 0.5, target_cosine: 0.8}]"])
    whole = ["perturb.method=mixture", "perturb.mixture=[{share: 1.0, target_cosine: 0.8}]"]
    with pytest.raises(RecipeError, match=r"target_cosine 0\.6 is not used by method 'mixture'.*set this one to null"):
        recipes.load("embedded", [*whole, "perturb.target_cosine=0.6"])
    made = recipes.load("embedded", [*whole, "perturb.target_cosine=null"])
    assert recipes.build(yaml.safe_load(recipes.dump(made))) == made
    with pytest.raises(RecipeError, match=r"target_cosine 0\.2 is not above min_cosine 0\.3"):
        recipes.load("embedded", ["perturb.target_cosine=0.2"])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("identities.threshold", "is not of the form key=value"),
        ("=3", "is not of the form key=value"),
        ("seed=[1", "is not valid YAML"),
        ("seed.deep=1", "seed"),
        ("identities.threshold=.nan", "identities.threshold: input should be a finite number"),
    ],
)
def test_overrides_that_cannot_be_meant_are_explained(override: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words.replace(".", r"\.")):
        recipes.load("embedded", [override])


@pytest.mark.parametrize(
    ("content", "words"),
    [("a: [1\n", "line 2 is not valid YAML"), ("- 1\n", "holds list where a mapping"), ("\x00", "not valid YAML|cannot be read")],
)  # fmt: skip
def test_files_that_are_no_recipes_are_explained(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(RecipeError, match=words):
        recipes.load(tmp_path / "r.yaml")


def test_recipe_files_run_no_code(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(f"name: !!python/object/apply:os.mkdir ['{tmp_path / 'pwned'}']\n")
    with pytest.raises(RecipeError, match="not valid YAML"):
        recipes.load(tmp_path / "r.yaml")
    assert not (tmp_path / "pwned").exists()


def test_an_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'embedded'"):
        recipes.load("embeded")


def test_counts_and_speed_do_not_decide_but_thresholds_and_seeds_do() -> None:
    decisive = {key.path for key in reference.all_keys() if key.decisive}
    assert {"seed", "identities.threshold", "perturb.target_cosine", "perturb.method"} <= decisive
    assert not {"identities.count", "identities.block", "identities.engine", "prior.file", "name"} & decisive


def test_a_recipe_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        recipes.load("embedded").identities.threshold = 0.9
