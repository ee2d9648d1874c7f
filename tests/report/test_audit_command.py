"""`synthface audit`: from pictures to figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_samples import crop, jpeg, write_encoder

import synthface as package
from synthface import files
from synthface.cli import cli
from synthface.encoder import align, pose
from synthface.encoder.scrfd import Detections
from synthface.errors import InputError, UsageError
from synthface.identity.embeddings import open_embeddings
from synthface.recipe import Recipe
from synthface.report import auditing, demographics, material, tables

Run = Callable[..., Any]


def test_an_audit_gives_json_markdown_and_pictures_and_its_exit_code_is_the_gates(
    synthface: Run, people: Path, strangers: Path, encoder: Path
) -> None:
    result = synthface("audit", people, "--encoder", encoder, "--reference", strangers, "--out", "found", "--json")
    content = result.json
    assert (content["images"], content["identities"]) == (40, 8)
    assert result.code == (0 if content["leakage"]["gate"]["passed"] else 1)
    assert content["separability"]["genuine"]["count"] == 8 * 10
    assert content["separability"]["impostor"]["count"] == 40 * 39 // 2 - 80
    assert content["looks"]["images"] == content["looks"]["luminance"]["count"] == 40
    assert content["looks"]["yaw"] is None
    kept = json.loads(Path("found/audit.json").read_text())
    assert {**kept, "report": "found"} == content
    table = Path("found/audit.md").read_text()
    assert "| EER |" in table
    assert "DCFace, Eq. 12" in table
    for name in content["figures"]:
        assert (Path("found") / name).read_bytes().startswith(b"\x89PNG")
    assert {"separability.png", "centers.png", "looks.png", "worst_pairs.png"} == set(content["figures"])


def test_the_text_names_every_figure_and_the_gate(synthface: Run, people: Path, encoder: Path) -> None:
    text = synthface("audit", people, "--encoder", encoder, "--out", "found").out
    for name in ("uniqueness", "consistency", "diversity", "label noise", "EER", "FMR100", "FMR1000", "FDR", "d′"):
        assert f"\n{name} " in text


def test_a_second_audit_embeds_nothing_and_gives_the_same_figures(
    synthface: Run, people: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = synthface("audit", people, "--encoder", encoder, "--out", "found", "--json").json

    def never(*_: object, **__: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr(material, "embed", never)
    again = synthface("audit", people, "--encoder", encoder, "--out", "found", "--json").json
    assert {**again, "seconds": 0} == {**first, "seconds": 0}


def test_a_copied_picture_heads_the_worst_pairs(synthface: Run, people: Path, strangers: Path, encoder: Path) -> None:
    shutil.copytree(strangers, "known")
    shutil.copy(people / "person_003" / "2.jpg", "known/person_100/copy.jpg")
    content = synthface("audit", people, "--encoder", encoder, "--reference", "known", "--out", "o", "--json").json
    worst = content["leakage"]["worst"][0]
    assert worst["picture"].endswith("person_003/2.jpg")
    assert worst["reference"].endswith("person_100/copy.jpg")
    assert worst["similarity"] == pytest.approx(1, abs=1e-5)


def test_a_mixed_up_picture_is_listed_as_label_noise(synthface: Run, people: Path, encoder: Path) -> None:
    shutil.copytree(people, "mixed")
    (Path("mixed") / "person_001" / "x.jpg").write_bytes(jpeg(crop(6, 50)))
    content = synthface("audit", "mixed", "--encoder", encoder, "--out", "o", "--json").json
    worst = content["label_noise"]["worst"][0]
    assert worst["picture"].endswith("person_001/x.jpg")
    assert (worst["label"], worst["nearer_label"]) == (1, 6)


def test_embedding_files_are_audited_without_pictures(synthface: Run) -> None:
    rng = np.random.default_rng(0)
    center = np.repeat(rng.standard_normal((20, 32)), 4, axis=0)
    np.savez("emb.npz", embeddings=center + 0.3 * rng.standard_normal(center.shape), labels=np.arange(80) // 4)
    np.save("real.npy", rng.standard_normal((50, 32)).astype(np.float32))
    result = synthface("audit", "emb.npz", "--reference", "real.npy", "--json")
    assert result.json["encoder"]["name"] is None
    assert result.json["looks"]["images"] == 0
    assert result.json["leakage"]["references"] == 50
    assert Path("emb-audit/audit.json").exists()
    assert "--networks" not in result.err


def test_references_that_do_not_tell_their_encoder_leave_the_gate_undecided(
    synthface: Run, people: Path, strangers: Path, encoder: Path
) -> None:
    assert synthface("embed", strangers, "--encoder", encoder, "--out", "told.npy").code == 0
    shutil.copy("told.npy", "bare.npy")
    loose = ("--set", "audit.max_leakage_p99=0.9999", "--set", "audit.max_leakage_share=1")
    judged = (people, "--encoder", encoder, "--json", *loose)
    told = synthface("audit", *judged, "--reference", "told.npy", "--out", "told")
    assert (told.code, told.json["leakage"]["gate"]["passed"]) == (0, True)
    assert told.json["references_encoder"]["sha256"] == told.json["encoder"]["sha256"]
    bare = synthface("audit", *judged, "--reference", "bare.npy", "--out", "bare")
    why = "the references do not tell their encoder"
    assert bare.code == 1
    assert bare.json["leakage"]["gate"]["passed"] is bare.json["references_encoder"] is None
    assert bare.json["encoders_untold"] == bare.json["leakage"]["gate"]["undecided"] == why
    assert "The references do not tell their encoder: similarities of two encoders mean nothing." in bare.err
    table = Path("bare/audit.md").read_text()
    assert "| gate of leakage | not decided |" in table
    (frechet,) = [line for line in table.splitlines() if line.startswith("| Fréchet distance")]
    assert why in frechet
    assert Path("bare/centers.png").read_bytes() != Path("told/centers.png").read_bytes()


@pytest.mark.parametrize(
    ("dataset", "references", "why"),
    [
        (None, {"name": "a", "sha256": "1"}, "the dataset does not tell its encoder"),
        (None, None, "neither dataset nor references tell their encoder"),
        ({"name": "a", "sha256": "1"}, {"name": "b", "sha256": "1"}, None),
    ],
)
def test_which_side_does_not_tell_its_encoder(
    dataset: dict[str, str] | None, references: dict[str, str] | None, why: str | None
) -> None:
    np.save("rows.npy", np.eye(4, dtype=np.float32))
    rows = open_embeddings(["rows.npy"])
    assert material.encoders_untold(material.Material(rows, dataset), material.Material(rows, references)) == why


def test_references_of_another_encoder_are_refused(synthface: Run, people: Path, encoder: Path) -> None:
    other = write_encoder(Path("other.onnx"), 16)
    other.write_bytes(other.read_bytes() + b"\x72\x00")  # an empty documentation string: another file, the same network
    assert synthface("embed", people, "--encoder", "other.onnx", "--out", "ref.npz").code == 0
    result = synthface("audit", people, "--encoder", encoder, "--reference", "ref.npz", "--out", "o")
    assert result.code == 1
    assert "were embedded by 'other.onnx'" in result.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "no picture, folder or dataset nowhere"),
        ((), "There is no dataset run/dataset. `synthface render` makes it"),
        (("people", "--same-people"), "--same-people says whom the references show"),
        (("people", "--reference", "people", "--reference", "e.npz"), "Some of people, e.npz are embedding files"),
    ],
)
def test_what_cannot_be_audited_is_told_in_a_sentence(
    synthface: Run, people: Path, encoder: Path, arguments: tuple[str, ...], told: str
) -> None:
    Path("people").symlink_to(people)
    np.savez("e.npz", embeddings=np.eye(16))
    result = synthface("audit", *arguments, "--encoder", encoder)
    assert result.code in (1, 2)
    assert told in result.err


def test_where_no_manifest_tells_of_pose_the_recipes_detector_looks_for_it(
    rendered: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rendered` was made without a detector: its manifest has no landmarks."""
    searched: list[int] = []

    class Searcher:
        """Sees the template in every second picture, once there is a margin around it."""

        def __call__(self, images: Any, margin: float) -> list[Detections]:
            if not margin:
                return [Detections(np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2)))] * len(images)
            found = []
            for _ in images:
                searched.append(1)
                points_N52 = align.TEMPLATE_52[None].astype(np.float32)[: len(searched) % 2]
                found.append(
                    Detections(np.zeros((len(points_N52), 4), np.float32), np.ones(len(points_N52)), points_N52)
                )
            return found

    monkeypatch.setattr(auditing, "open_detector", lambda recipe, device: Searcher())
    recipe = Recipe.model_validate(
        {
            "encoder": {"model": "dry", "verifier": str(encoder), "detector": "any", "padding": [0.0, 0.3]},
            "audit": {"looks": 20},
        }
    )
    found = auditing.audit(rendered / "dataset", recipe, Path("o"))["looks"]
    assert found["pose_from"] == "detector"
    assert len(searched) == 20
    expected = {**pose.estimate(align.TEMPLATE_52)._asdict(), "mouth": 0.828}
    for name, value in expected.items():
        assert (found[name]["count"], found[name]["unknown"]) == (10, 10)
        assert found[name]["mean"] == pytest.approx(value, abs=0.01)
    assert "yaw" in Path("o/audit.md").read_text()
    assert "looks.png" in json.loads(Path("o/audit.json").read_text())["figures"]


def test_a_detector_whose_weights_are_not_here_costs_the_pose_alone(
    rendered: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNTHFACE_MODELS", str(Path("empty").resolve()))
    recipe = Recipe.model_validate({"encoder": {"model": "dry", "verifier": str(encoder), "detector": "scrfd"}})
    found = auditing.audit(rendered / "dataset", recipe, Path("o"))["looks"]
    assert found["yaw"] is found["mouth"] is found["pose_from"] is None
    assert found["luminance"] is not None
    assert "Pose and expression are left out" in capsys.readouterr().err


def test_an_encoder_that_conditioned_the_pictures_is_called_so(people: Path, rendered: Path, encoder: Path) -> None:
    recipe = Recipe.model_validate({"encoder": {"model": str(encoder), "verifier": None}})
    shutil.copytree(rendered / "dataset", "alone")  # without run.json the recipe is believed
    content = auditing.audit(Path("alone"), recipe, Path("o"))
    assert content["encoder"]["independent"] is False
    assert "input_output.png" in content["figures"]
    assert "similarity to the person's center" in Path("o/audit.md").read_text()
    assert "section 4.1" not in Path("o/audit.md").read_text()
    assert "flatter" in Path("o/audit.md").read_text()
    photographs = auditing.audit(people, recipe, Path("p"))
    assert photographs["encoder"]["independent"] is None
    assert "flatter" not in Path("p/audit.md").read_text()


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "no center similarity was measured"])
def test_a_judge_of_the_conditioning_encoders_weights_is_called_so_whatever_its_file_is_named(
    rendered: Path, encoder: Path, recorded: bool
) -> None:
    shutil.copytree(rendered, "run")
    shutil.copy(encoder, "conditioning.onnx")
    shutil.copy(encoder, "judge.onnx")
    record = json.loads(Path("run/run.json").read_text())
    decisive = record["stages"]["render"]["decisive"]
    del decisive["encoder_sha256"]
    decisive["encoder.model"] = "conditioning.onnx"
    if recorded:
        decisive |= {"encoder_sha256": files.sha256_file(encoder), "encoder.model": "gone.onnx"}
    else:
        forget(Path("run/dataset/manifest.parquet"), "center_similarity")
    Path("run/run.json").write_text(json.dumps(record))
    content = auditing.audit(Path("run/dataset"), Recipe(), Path("o"), auditing.Wish(encoder="judge.onnx"))
    assert content["encoder"]["independent"] is False
    assert (content["input_output"]["center_similarity"] is None) is not recorded
    assert "flatter" in Path("o/audit.md").read_text()
    other = write_encoder(Path("other.onnx"), 8)
    content = auditing.audit(Path("run/dataset"), Recipe(), Path("o"), auditing.Wish(encoder=str(other)))
    assert content["encoder"]["independent"] is True


def forget(path: Path, name: str) -> None:
    """Makes a column of a manifest null, as where the gate does not measure it."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(path)
    column = table.column_names.index(name)
    parquet.write_table(table.set_column(column, table.field(column), pa.nulls(len(table), pa.float32())), path)


def test_real_pictures_of_the_same_people_give_recall_and_no_gate(synthface: Run, people: Path, encoder: Path) -> None:
    result = synthface("audit", people, "--encoder", encoder, "--reference", people, "--same-people", "--out", "o", "--json")  # fmt: skip
    content = result.json
    assert result.code == 0
    assert content["leakage"] is None
    assert content["style_recall"]["share"] == 1  # every real picture is a generated one
    assert content["same_people"]["mean"] == pytest.approx(1, abs=1e-5)


def test_demographics_are_balanced_over_people(synthface: Run, people: Path, encoder: Path) -> None:
    Path("who.csv").write_text("label,group,name\n" + "".join(f"{k},{'ab'[k > 5]},n{k}\n" for k in range(7)))
    content = synthface("audit", people, "--encoder", encoder, "--demographics", "who.csv", "--out", "o", "--json").json
    found = content["demographics"]
    assert (found["people"], found["unknown"]) == (7, 1)
    assert found["columns"]["group"]["groups"]["a"] == {"people": 6, "share": pytest.approx(6 / 7), "images": 30}
    assert "Balance: group" in Path("o/audit.md").read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lable,x\n1,2\n", "Did you mean 'label'"),
        ("label,x\n99,a\n", "None of the dataset's people"),
        ("label,x\nperson_999,a\n", "None of the dataset's people"),
        ("identity,x\nperson_001,a\n", "'person_001' in its column `identity`, which is no number"),
        ("label\n1\n", "no column beside those of people"),
        ("", "cannot be read"),
    ],
)
def test_a_table_of_other_people_is_told_before_anything_is_embedded(
    people: Path, encoder: Path, text: str, told: str
) -> None:
    Path("who.csv").write_text(text)
    recipe = Recipe.model_validate({"encoder": {"verifier": str(encoder)}})
    with pytest.raises(InputError, match=told):
        auditing.audit(people, recipe, Path("o"), auditing.Wish(demographics=Path("who.csv")))
    assert not Path("o").exists()


def test_names_are_refused_where_the_dataset_has_none() -> None:
    Path("who.csv").write_text("label,x\np0,a\n")
    with pytest.raises(
        InputError, match="'p0' in its column `label`, which is no number, and the dataset has no folders"
    ):
        demographics.read(Path("who.csv"))


def test_class_folders_are_called_by_their_names(synthface: Run, people: Path, encoder: Path) -> None:
    Path("who.csv").write_text("label,group\n" + "".join(f"person_00{k},{'ab'[k > 5]}\n" for k in range(7)))
    content = synthface("audit", people, "--encoder", encoder, "--demographics", "who.csv", "--out", "o", "--json").json
    found = content["demographics"]
    assert (found["by"], found["people"], found["unknown"]) == ("folder", 7, 1)
    assert found["columns"]["group"]["groups"]["b"]["people"] == 1


@pytest.mark.parametrize(
    ("names", "keys", "by", "people"),
    [
        (["1", "10", "2"], ["1", "10", "2"], "folder", [0, 1, 2]),  # said on stderr: 1 is folder 1, and label 0
        (["007", "012"], ["012", "007"], "folder", [0, 1]),
        (["5", "6", "7"], ["0", "1", "2"], "label", [0, 1, 2]),
        (["1", "2", "3"], ["0", "1", "2"], "label", [0, 1, 2]),  # 0 is no folder
        (["anna", "bert"], ["bert", "7"], "folder", [1]),
        (None, ["0", "", "2"], "label", [0, 2]),
    ],
)
def test_numbers_are_names_only_where_each_of_them_is_one(
    names: list[str] | None, keys: list[str], by: str, people: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("who.csv").write_text("label,x\n" + "".join(f"{key},a\n" for key in keys))
    labels = demographics.read(Path("who.csv"), names)
    assert (labels.by, sorted(labels.rows_of)) == (by, people)
    assert ("taken for the names" in capsys.readouterr().err) is (names == ["1", "10", "2"])


def labelled(text: str, people: int) -> dict[str, Any]:
    """The balance of people 0 … `people` − 1 with a picture each."""
    Path("who.csv").write_text(text)
    return demographics.read(Path("who.csv")).balance(np.arange(people), np.arange(people), np.ones(people, np.int64))


def test_columns_of_many_values_are_measured_or_named_as_left_out() -> None:
    rows = "".join(f"{k},{20 + k},{1.5 * (k % 3)},n{k},{k % 2}\n" for k in range(30))
    found = labelled("label,age,height,name,group\n" + rows, 30)
    assert found["measured"]["age"] == {"people": 30, "mean": 34.5, "std": pytest.approx(8.655, abs=1e-3), "min": 20, "max": 49}  # fmt: skip
    assert found["measured"]["height"]["mean"] == 1.5
    assert found["left_out"] == {"name": "30 different values: more than 24 are taken for names"}
    assert list(found["columns"]) == ["group"]
    shown = {line.name: line.value for line in tables.demographics({"demographics": found})}
    assert shown == {"age": "34.50 ± 8.66", "height": "1.50 ± 1.22", "name": "left out"}


def test_rows_of_one_person_that_disagree_are_counted_and_the_most_frequent_value_counts() -> None:
    rows = ["0,a,20.5", "0,b,21.5", "0,b,", "1,a,30", "1,a,30", "2,c,40", "2,a,40", "3,,50"]
    found = labelled("label,group,age\n" + "\n".join(rows) + "\n", 4)
    assert {name: one["people"] for name, one in found["columns"]["group"]["groups"].items()} == {
        "a": 1, "b": 1, "c": 1, "unknown": 1,
    }  # fmt: skip
    assert found["measured"]["age"]["mean"] == (21 + 30 + 40 + 50) / 4
    assert found["disagreeing"] == {"group": 2, "age": 1}
    shown = {line.name: line for line in tables.demographics({"demographics": found})}
    assert shown["group, rows that disagree"].value == "2"
    assert "the most frequent value counts" in shown["group, rows that disagree"].meaning


def test_the_door_of_python_takes_names_of_files_and_spells_its_parameters(people: Path, encoder: Path) -> None:
    assert cli.run(["embed", str(people), "--encoder", str(encoder), "--out", "emb.npz"]) == 0
    Path("who.csv").write_text("label,group\n0,a\n1,b\n")
    content = package.audit("emb.npz", demographics="who.csv", references=["emb.npz"], same_people=True, out="o")
    assert content["demographics"]["people"] == 2
    assert content["style_recall"]["share"] == 1
    with pytest.raises(TypeError, match="unexpected keyword argument 'demografics'"):
        package.audit("emb.npz", demografics="who.csv")  # type: ignore[call-arg]


def test_a_rehearsals_encoder_is_no_judge(people: Path) -> None:
    recipe = Recipe.model_validate({"encoder": {"model": "dry", "verifier": "dry"}})
    with pytest.raises(UsageError, match="is no network"):
        auditing.audit(people, recipe, Path("o"))


@pytest.mark.real
def test_faces_of_real_people_are_told_apart_by_a_real_recogniser(synthface: Run, real_data: Path) -> None:
    embeddings = real_data / "lfw_gray_dev_embeddings.npz"
    content = synthface("audit", embeddings, "--out", "o", "--json").json
    assert content["identities"] == 3_516
    assert 0.005 < content["separability"]["eer"] < 0.05
    assert content["separability"]["d_prime"] > 3
    assert content["uniqueness"]["share"] < 0.9  # 128 dimensions: the nearest of 3,515 strangers is often above .3
