"""The page about a run: whole, self-contained, true to the records, and calm about what is missing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from html_outline import Outline

from synthface.errors import InputError
from synthface.report import published
from synthface.report.gather import gather, thinned
from synthface.report.page import render, write_report


@pytest.fixture(scope="module")
def page(complete: Path) -> str:
    return render(gather(complete))


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    return Outline(page)


def test_the_page_needs_nothing_beside_itself(page: str, outline: Outline) -> None:
    assert all(source.startswith("data:image/") for source in outline.sources)
    assert len(outline.sources) == 2  # contact sheet and worst pairs
    assert all(link.startswith("#") for link in outline.links)
    assert {link[1:] for link in outline.links} <= set(outline.ids)
    assert "script" not in outline.tags
    assert not {"link", "iframe", "object"} & set(outline.tags)
    assert not re.search(r"url\(|@import|https?://", page)


def test_every_tag_is_closed_in_its_place(outline: Outline) -> None:
    assert outline.wrong == []
    assert outline.tags.count("html") == outline.tags.count("main") == 1
    assert all(outline.alts)


def test_every_table_scrolls_or_stacks_where_the_screen_is_narrow(outline: Outline) -> None:
    assert outline.tables
    for table in outline.tables:
        own, around = table.split(" in ")
        assert "scroll" in around or own in ("figures", "facts")


def test_the_page_tells_what_the_records_tell(complete: Path, outline: Outline) -> None:
    audit = json.loads((complete / "report" / "audit.json").read_text())
    render_record = json.loads((complete / "render.json").read_text())
    text = outline.text
    for fact in (
        "rehearsal: Without a network & <quickly>.",
        f"{render_record['attempts']:,} attempts",
        f"{100 * audit['separability']['eer']:.2f} %",
        f"{audit['leakage']['p99']:.3f}",
        "NOT passed",
        "too unlike its center",
        "91.23",
        "83.89",
        *(entry["started"] for entry in json.loads((complete / "run.json").read_text())["history"]),
    ):
        assert fact in text
    for chart in ("How alike two people are", "People found", "Likeness to the person's center, by the conditioning encoder",
                  "Recogniser (ROC)", "Two pictures, by eye.onnx", "Nearest real person of every picture", "Loss of the recogniser",
                  "Loss of the generator, autoencoder", "Loss of the generator, denoiser"):  # fmt: skip
        assert chart in text


def test_what_the_judge_saw_is_called_by_its_name(complete: Path) -> None:
    shutil.copytree(complete, "run")
    (Path("run") / "recipe.yaml").write_text("extends: arc2face-0.5m\n")  # whose verifier is null
    text = Outline(render(gather(Path("run")))).text
    assert "of eye.onnx, on these pictures" in text
    assert "Two pictures, by eye.onnx" in text
    assert "a likeness that eye.onnx sees" in text
    assert "of the verifier" not in text


def test_a_page_of_given_people_does_not_say_that_they_do_not_exist(given: Path, rendered: Path) -> None:
    shutil.copytree(given, "run")
    shutil.copy(rendered / "identities.safetensors", "run")  # sampled, and not rendered
    text = Outline(render(gather(Path("run")))).text
    assert "not exist" not in text
    assert "given by whoever made the dataset, as embeddings (celebs.npz); whether they exist is not recorded" in text
    assert "How alike two people are" not in text
    assert "People who do not exist" in Outline(render(gather(rendered))).text


def test_an_undecided_gate_is_neither_passed_nor_failed(complete: Path) -> None:
    shutil.copytree(complete, "run")
    path = Path("run/report/audit.json")
    content = json.loads(path.read_text())
    untold = "the references do not tell their encoder"
    content["encoders_untold"] = content["leakage"]["gate"]["undecided"] = untold
    content["leakage"]["gate"]["passed"] = None
    path.write_text(json.dumps(content))
    text = Outline(render(gather(Path("run")))).text
    assert "not decided gate of leakage" in text
    assert f"Nearest real person of every picture; {untold}" in text
    assert f"sees; {untold}." in text


def test_published_figures_stand_apart_with_their_sources(page: str) -> None:
    block = page[page.index('<div class="published">') :]
    block = block[: block.index("</section>")]
    text = Outline(block.replace("</div>\n", "</div>", 1)).text
    assert "from papers, not measured here" in text
    for row in published.ROWS:
        assert f"{row.mean:.2f}" in text
    for source in published.SOURCES:
        assert source.name in text
    assert "91.23" not in text  # what was measured here


@pytest.mark.parametrize("row", published.ROWS, ids=lambda row: f"{row.name} {row.data[:4]}")
def test_published_means_are_the_means_of_their_row(row: published.Row) -> None:
    assert sum(row.accuracies) / 5 == pytest.approx(row.mean, abs=0.01)  # some tables round, some cut off


def test_the_same_directory_gives_the_same_page(complete: Path, page: str) -> None:
    assert render(gather(complete)) == page


@pytest.mark.parametrize(
    ("removed", "told"),
    [
        ("run.json", "There is no run.json"),
        ("recipe.yaml", "There is no recipe.yaml that can be read"),
        ("identities.safetensors", "There is no identities.safetensors"),
        ("dataset", "There is no packed dataset"),
        ("report", "The dataset has not been audited"),
        ("fr", "No recogniser was trained here"),
        ("dataset/contact_sheet.png", ""),
        ("report/worst_pairs.png", ""),
        ("fr/log.jsonl", ""),
        ("generator-training", ""),
    ],
)
def test_any_part_may_be_missing(complete: Path, removed: str, told: str) -> None:
    shutil.copytree(complete, "run")
    place = Path("run") / removed
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    text = Outline(render(gather(Path("run"))))
    assert text.wrong == []
    assert told in text.text


def test_a_rendering_that_is_not_finished_is_told_from_its_shards(complete: Path) -> None:
    shutil.copytree(complete, "run")
    Path("run/render.json").unlink()
    next(Path("run/shards").glob("?????.json")).unlink()
    facts = gather(Path("run"))
    assert facts.render is not None
    assert 0 < facts.render["images"] < 40
    assert "The rendering is not finished" in Outline(render(facts)).text


@pytest.mark.parametrize(
    "name", ["run.json", "report/audit.json", "fr/result.json", "identities.safetensors", "dataset/manifest.parquet"]
)
def test_a_damaged_record_is_named_and_the_rest_is_shown(complete: Path, name: str) -> None:
    shutil.copytree(complete, "run")
    (Path("run") / name).write_bytes(b"{ half")
    text = Outline(render(gather(Path("run")))).text
    assert Path(name).name in text
    assert "Published" in text


def test_markup_in_records_stays_text(complete: Path) -> None:
    shutil.copytree(complete, "run")
    record = json.loads(Path("run/run.json").read_text())
    record["history"].append({"command": "<script>alert(1)</script>", "stage": "render", "started": "now"})
    Path("run/run.json").write_text(json.dumps(record))
    outline = Outline(render(gather(Path("run"))))
    assert "script" not in outline.tags
    assert "<script>alert(1)</script>" in outline.text


def test_the_command_writes_the_page_and_the_card_and_tells_what_is_missing(
    synthface: Callable[..., Any], rendered: Path
) -> None:
    shutil.copytree(rendered, "run")
    content = synthface("report", "--json").json
    assert Path(content["report"]) == Path("run/report/report.html")
    assert Path(content["report"]).stat().st_size == content["bytes"]
    assert Path(content["card"]) == Path("run/dataset/README.md")
    assert any("has not been audited" in sentence for sentence in content["missing"])
    other = synthface("report", "run", "--out", "elsewhere.html")
    assert other.code == 0
    assert Path("elsewhere.html").exists()


def test_what_is_no_run_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(InputError, match="is no run directory"):
            write_report(path)


def test_the_generators_log_is_found_where_its_training_writes_it(complete: Path) -> None:
    found = gather(complete).generator_log
    assert {stage: log[-1]["step"] for stage, log in found.items()} == {"autoencoder": 30, "denoiser": 900}
    assert [len(log) for log in found.values()] == [30, 400]


def test_long_logs_are_thinned_to_means_and_end_where_they_ended() -> None:
    log = [{"step": k, "loss": float(k), "stage": "a"} for k in range(1, 1_001)]
    found = thinned(log, 100)
    assert len(found) == 100
    assert found[-1]["step"] == 1_000
    assert found[0] == {"step": 10, "loss": 5.5, "stage": "a"}
    assert thinned(log[:100], 100) == log[:100]
