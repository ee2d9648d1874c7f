"""The dataset's README: its head is Hugging Face's, its programs run, its terms follow the recipe."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from html_outline import Outline

from synthface import files
from synthface.dataset import open_dataset
from synthface.recipe import Recipe, load
from synthface.report import card, licences
from synthface.report.gather import gather
from synthface.run import RunDirectory
from synthface.zoo import shipped


@pytest.fixture(scope="module")
def text(complete: Path) -> str:
    return card.card(gather(complete))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def dataset(complete: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dataset's folder, in which the programs run."""
    shutil.copytree(complete / "dataset", "dataset")
    monkeypatch.chdir("dataset")
    return Path.cwd()


def test_the_head_is_what_hugging_face_reads(text: str, complete: Path) -> None:
    head = yaml.safe_load(text.split("---\n")[1])
    images = len(open_dataset(complete / "dataset"))
    assert head["pretty_name"] == f"rehearsal: {images} pictures of 10 people who do not exist"
    assert head["license"] == "other"
    assert head["size_categories"] == ["n<1K"]
    assert head["configs"] == [{"config_name": "manifest", "data_files": "manifest.parquet"}]
    huggingface_hub = pytest.importorskip("huggingface_hub")
    assert huggingface_hub.DatasetCard(text).data.pretty_name == head["pretty_name"]


def test_rendering_wrote_a_card_and_says_that_nothing_is_measured_yet(rendered: Path) -> None:
    written = (rendered / "dataset" / "README.md").read_text()
    assert written == card.card(gather(rendered))
    assert "It has not been measured yet" in written


def test_an_audit_completes_the_card_of_its_run(complete: Path, text: str) -> None:
    assert (complete / "dataset" / "README.md").read_text() == text
    assert "| EER |" in text
    assert "| gate of leakage | NOT passed |" in text


def run_block(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "card", "exec"), names)
    return names


def python_block(text: str, word: str) -> str:
    (found,) = [block for block in blocks(text, "python") if word in block]
    return found


def test_the_python_of_synthface_runs(text: str, dataset: Path) -> None:
    found = run_block(python_block(text, "open_dataset"))
    assert found["image"].shape == (112, 112, 3)
    assert found["label"] == 0
    assert found["manifest"].num_rows == len(found["faces"])


def test_insightfaces_configuration_names_this_folder_and_its_counts(text: str, dataset: Path) -> None:
    config = run_block(python_block(text, "EasyDict"))["config"]
    data = open_dataset(config.rec)
    assert (config.num_classes, config.num_image) == (data.num_classes, len(data))


def test_adafaces_command_names_this_folder_and_its_classes(text: str, dataset: Path) -> None:
    (line,) = blocks(text, "text")
    words = line.split()
    assert Path(words[words.index("--data_root") + 1], words[words.index("--train_data_path") + 1]).resolve() == dataset
    assert int(words[words.index("--custom_num_class") + 1]) == open_dataset(".").num_classes


def export(text: str, synthface: Callable[..., Any], name: str) -> None:
    """Runs the card's export of one format."""
    (line,) = [line for block in blocks(text, "sh") for line in block.splitlines() if f"--to {name}" in line]
    command, *arguments = line.split()
    assert command == "synthface"
    assert synthface(*arguments).code == 0


def test_the_webdataset_program_reads_the_export(text: str, dataset: Path, synthface: Callable[..., Any]) -> None:
    export(text, synthface, "webdataset")
    found = run_block(python_block(text, "webdataset"))
    assert found["image"].shape == (112, 112, 3)
    np.testing.assert_allclose(found["image"], open_dataset(".").image(0), atol=3)
    assert found["label"] == 0


def test_the_datasets_program_reads_the_export(
    text: str, dataset: Path, synthface: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(dataset.parent / "cache"))
    export(text, synthface, "hf")
    found = run_block(python_block(text, "load_dataset"))
    assert len(found["faces"]) == len(open_dataset("."))
    assert found["image"].size == (112, 112)
    assert found["label"] == 0


def test_dalis_program_finds_every_picture_where_its_reader_looks(
    text: str, dataset: Path, synthface: Callable[..., Any]
) -> None:
    """DALI is too large for the suite: here the files are gone through as its readers.mxnet does, by the index's offsets."""
    export(text, synthface, "dali")
    code = python_block(text, "nvidia.dali")
    compile(code, "card", "exec")
    record, index = (Path(re.search(rf'{name}=\["([^"]+)"\]', code)[1]) for name in ("path", "index_path"))  # type: ignore[index]
    images = dali_reads(record.read_bytes(), index.read_text())
    ours = open_dataset(".")
    assert len(images) == len(ours)
    wanted = sorted((int(label), bytes(ours.payloads([k])[0])) for k, label in enumerate(ours.labels_N))
    assert sorted(images) == wanted


@pytest.mark.gpu
def test_dalis_program_gives_every_picture_with_its_label(
    text: str, dataset: Path, synthface: Callable[..., Any]
) -> None:
    """As the card has it; where there is no GPU, by the same operators on the CPU."""
    import torch

    pytest.importorskip("nvidia.dali", reason="pip install nvidia-dali-cuda120")
    export(text, synthface, "dali")
    code = python_block(text, "nvidia.dali")
    if not torch.cuda.is_available():
        code = code.replace("device_id=0", "device_id=None").replace('device="mixed"', 'device="cpu"')
    found = run_block(code)
    images, labels = (tensors.as_cpu() for tensors in (found["images"], found["labels"]))
    ours = open_dataset(".")
    seen = {int(np.asarray(labels[k])[0]): np.asarray(images[k]) for k in range(len(ours))}
    assert sorted(int(np.asarray(labels[k])[0]) for k in range(len(ours))) == sorted(ours.labels_N.tolist())
    for label, image in seen.items():
        alike = [np.abs(ours.image(k).astype(int) - image).max() for k in np.flatnonzero(ours.labels_N == label)]
        assert min(alike) <= 3  # two decoders round otherwise


def dali_reads(content: bytes, index: str) -> list[tuple[int, bytes]]:
    """Offsets of the index, sorted; at each: magic, length and flag, then flag, label, two ids, then the picture."""
    offsets = sorted(int(line.split()[1]) for line in index.splitlines())
    found = []
    for offset in offsets:
        magic, length = np.frombuffer(content, "<u4", 2, offset).tolist()
        assert magic == 0xCED7230A
        assert length >> 29 == 0  # one part
        flag = int(np.frombuffer(content, "<u4", 1, offset + 8)[0])
        label = float(np.frombuffer(content, "<f4", 1, offset + 12)[0])
        assert flag == 0  # a scalar label, and so no header record
        found.append((int(label), content[offset + 32 : offset + 8 + (length & ((1 << 29) - 1))]))
    return found


@pytest.mark.interop
def test_mxnet_runs_the_program_that_insightface_and_adaface_read_by(text: str, dataset: Path) -> None:
    import os

    python = os.environ["SYNTHFACE_INTEROP_PYTHON"]
    code = python_block(text, "import mxnet") + "\nprint(end, image.shape, label)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(open_dataset(".")) + 1), "(112,", "112,", "3)", "0"]


def test_terms_follow_the_recipe() -> None:
    links = {link.name: link for link in licences.chain(load("arc2face-0.5m"), {}, sampled=True)}
    assert links["arc2face"].licence == "MIT"
    assert "WebFace42M" in links["arc2face"].terms
    assert links["sd15-base"].licence == "CreativeML OpenRAIL-M"
    assert "non-commercial" in str(links["scrfd"].licence)
    assert licences.hub_licence(list(links.values())) == "other"
    restricted = {link.name: licences.reason(link) for link in licences.restricted(list(links.values()))}
    assert restricted == {
        "prior.safetensors": "terms not known",
        "arc2face": "MIT, trained on data for non-commercial research",
        "arcface": "MIT, trained on data for non-commercial research",
        "scrfd": "non-commercial research (insightface)",
    }


def test_the_demonstrations_terms_are_this_projects() -> None:
    ours = files.sha256_file(shipped.FOLDER / shipped.PRIOR)
    record = {"stages": {"render": {"decisive": {"generator_sha256": "ab" * 32, "prior_sha256": ours}}}}
    links = licences.chain(Recipe(), record, sampled=True)
    assert {link.licence for link in links} == {"Apache-2.0"}
    assert licences.hub_licence(links) == "apache-2.0"
    hashes = {link.name: link.sha256 for link in links}
    assert hashes["embedded (generator.model)"] == "ab" * 32
    assert hashes["embedded (prior.file)"] == ours
    assert licences.restricted(links) == []


def test_a_prior_of_ones_own_is_a_link_whose_terms_nobody_told() -> None:
    named = licences.chain(Recipe.model_validate({"prior": {"file": "/data/vips.safetensors"}}), {}, sampled=True)
    assert (named[0].name, named[0].licence, named[0].sha256) == ("vips.safetensors", None, None)
    record = {"stages": {"render": {"decisive": {"prior_sha256": "cd" * 32}}}}  # not the one that ships
    of_the_run = licences.chain(Recipe(), record, sampled=True)
    assert (of_the_run[0].name, of_the_run[0].sha256) == ("prior.safetensors", "cd" * 32)
    assert "real photographs" in of_the_run[0].terms
    assert licences.hub_licence(of_the_run) == "other"
    assert licences.restricted(of_the_run) == of_the_run[:1]


def test_people_who_were_given_are_a_link_whose_terms_nobody_told() -> None:
    ours = files.sha256_file(shipped.FOLDER / shipped.PRIOR)
    record = {"stages": {"render": {"decisive": {"prior_sha256": ours}}}}
    recipe = Recipe.model_validate({"render": {"identities": "/data/celebs.npz"}})
    links = licences.chain(recipe, record, sampled=False)
    assert (links[0].name, links[0].licence) == ("celebs.npz", None)
    assert "whether these people exist is not recorded" in links[0].terms
    assert "everybody" not in links[1].role
    assert licences.hub_licence(links) == "other"
    assert licences.restricted(links) == links[:1]
    assert licences.chain(Recipe(), record, sampled=False)[0].name == "the people"


def claims(text: str) -> str:
    """A card without the citation, in which synthface calls itself by its title."""
    return text[: text.index("## Citation")]


def test_a_card_of_given_people_does_not_say_that_they_do_not_exist(given: Path) -> None:
    written = (given / "dataset" / "README.md").read_text()
    head = yaml.safe_load(written.split("---\n")[1])
    assert head["license"] == "other"
    assert re.fullmatch(r"rehearsal: \d+ pictures of \d people", head["pretty_name"])
    assert "synthetic" in head["tags"]
    assert "not exist" not in claims(written)
    assert "Nobody in" not in written
    assert "anybody's biometric data" not in written
    assert "given by whoever made the dataset, as embeddings (`celebs.npz`)" in written
    assert not re.search(r"[^\n]\n#{2,} ", written)  # an empty line above every heading
    assert "Every picture was generated from such an embedding." in written
    assert "1. The people were given as embeddings, `celebs.npz`: nobody was sampled." in written
    assert "| celebs.npz | says who is in the pictures | not known |" in written


def test_people_are_the_sampled_ones_only_where_the_record_does_not_tell_of_others(given: Path, rendered: Path) -> None:
    """A later command may have written another recipe.yaml, and sampled people may lie beside the given ones."""
    shutil.copytree(given, "run")
    shutil.copy(rendered / "identities.safetensors", "run")
    shutil.copy(rendered / "recipe.yaml", "run")
    written = card.card(gather(Path("run")))
    assert "not exist" not in claims(written)
    assert "the people in identities.safetensors are not those in the pictures" in written
    assert gather(rendered).sampled


def test_a_card_of_packed_pictures_says_neither_that_they_were_generated_nor_of_whom(
    synthface: Callable[..., Any], people: Path
) -> None:
    assert synthface("pack", people, "--out", "packed/dataset").code == 0
    assert synthface("report", "packed").code == 0
    written = Path("packed/dataset/README.md").read_text()
    head = yaml.safe_load(written.split("---\n")[1])
    assert head["license"] == "other"
    assert head["pretty_name"] == "dataset: 40 pictures of 8 people"
    assert "synthetic" not in head["tags"]
    assert "not exist" not in claims(written)
    assert "Whether the pictures were generated is not recorded either." in written
    assert "Generated people" not in written
    page = Outline(Path("packed/report/report.html").read_text()).text
    assert "not exist" not in page
    assert "Whether the people in the pictures exist is not recorded." in page


def test_the_card_names_the_prior_with_its_recorded_hash(text: str, complete: Path) -> None:
    prior = json.loads((complete / "run.json").read_text())["stages"]["render"]["decisive"]["prior_sha256"]
    (line,) = [line for line in text.splitlines() if line.startswith("| prior.safetensors |")]
    assert f"SHA-256 `{prior}`" in line


def test_a_file_of_ones_own_has_terms_that_nobody_told() -> None:
    recipe = Recipe.model_validate({"generator": {"model": "own/folder"}, "encoder": {"verifier": "mine.onnx"}})
    links = licences.chain(recipe, {}, sampled=True)
    assert {link.name for link in licences.restricted(links)} == {"own/folder", "mine.onnx"}


def test_a_card_of_the_public_weights_cites_the_paper(complete: Path) -> None:
    shutil.copytree(complete, "run")
    (Path("run") / "recipe.yaml").write_text("extends: arc2face-0.5m\n")
    with contextlib.suppress(FileNotFoundError):
        Path("run/dataset/contact_sheet.png").unlink()
    written = card.write_card(RunDirectory("run"), Path("run/dataset")).read_text()
    assert "@inproceedings{paraperas2024arc2face" in written
    assert "[sd15-base](https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5)" in written
    assert (
        "What limits the use of the pictures most: prior.safetensors (terms not known), arc2face (MIT, trained"
        in written
    )


def test_a_card_without_records_says_what_is_not_known(complete: Path) -> None:
    shutil.copytree(complete / "dataset", "run/dataset")
    written = card.write_card(RunDirectory("run"), Path("run/dataset")).read_text()
    assert "Who was sampled, and how, is not recorded" in written
    assert "does not tell which networks made the pictures" in written
