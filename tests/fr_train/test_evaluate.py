"""Measuring a recogniser: which sets, which figures, which warnings; the table, the plots, the overlap audit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_world import face, jpeg, write_people

from fr_train import benchmarks, bins, color_check, overlap, plots, table
from fr_train.embed import embed
from fr_train.evaluate import evaluate, far_name, measure, over_seeds
from synthface.errors import InputError
from synthface.recipe.recognition import EvaluateRecipe

WriteSet = Callable[[Path, int], Path]
QUICK = EvaluateRecipe(names=("lfw", "cfp_fp"), bootstrap=50, color_check_pairs=0)


class Colours:
    """Tells the people of `small_world` apart by the mean colours of a 4×4 grid; `channels` are those that it uses."""

    image_size = 112

    def __init__(self, name: str = "colours", color: str = "rgb", channels: tuple[int, ...] = (0, 1, 2)) -> None:
        self.name, self.color, self.channels = name, color, channels

    def __call__(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen_BHWC = image_BHWC[..., ::-1] if self.color == "bgr" else image_BHWC
        grid = seen_BHWC.reshape(len(seen_BHWC), 4, 28, 4, 28, 3).mean((2, 4))[..., self.channels]
        return (grid.reshape(len(grid), -1) - 127).astype(np.float32)


@pytest.fixture(scope="module")
def folder(write_set: WriteSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of two wanted sets; read only."""
    place = tmp_path_factory.mktemp("sets")
    write_set(place / "lfw.bin", 60)
    return place


def test_people_who_are_told_apart_give_full_marks_and_all_figures(folder: Path) -> None:
    result = evaluate(Colours(), [folder], QUICK)
    figures = result["benchmarks"]["lfw"]
    assert (figures["accuracy"], figures["std"], figures["ci95"]) == (1.0, 0.0, [1.0, 1.0])
    assert (figures["pairs"], figures["folds"]) == (60, 10)
    assert figures["cosine_threshold"] == 1 - figures["threshold"] / 2
    assert figures["tar"] == {}  # 27 different pairs outside a fold cannot tell a rate of 1e-2 from none
    assert figures["separation"] > 4
    assert (result["model"], result["color"], result["mean_accuracy"], result["warnings"]) == (
        "colours",
        "rgb",
        1.0,
        [],
    )


def test_tar_is_told_at_the_rates_that_the_pairs_allow(folder: Path) -> None:
    result = evaluate(Colours(), [folder], QUICK.model_copy(update={"far": (0.2, 0.05, 1e-3)}))
    assert result["benchmarks"]["lfw"]["tar"] == {"2e-1": 1.0, "5e-2": 1.0}


def test_every_rate_has_a_name_of_its_own_and_round_ones_a_short_one() -> None:
    rates = (*EvaluateRecipe().far, 1e-10, 0.2, 0.014, 0.012, 0.3 - 0.2)
    assert [far_name(rate) for rate in rates] == [
        "1e-2", "1e-3", "1e-4", "1e-10", "2e-1", "1.4e-2", "1.2e-2", "9.999999999999998e-2",
    ]  # fmt: skip
    same_N = np.arange(6_000) % 2 == 0
    dist_N = np.random.default_rng(0).normal(np.where(same_N, 1.0, 1.6), 0.3).clip(0, 3.9)
    assert set(measure(dist_N, same_N, EvaluateRecipe(bootstrap=0, far=(0.014, 0.012)))["tar"]) == {"1.4e-2", "1.2e-2"}


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0])
def test_a_rate_that_is_no_share_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"far \[.*\] are not all above 0 and below 1"):
        EvaluateRecipe(far=(0.01, rate))


def test_absent_sets_are_said_to_be_absent_with_where_to_get_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate(Colours(), [folder], QUICK)
    assert list(result["absent"]) == ["cfp_fp"]
    assert "github.com/deepinsight/insightface" in result["absent"]["cfp_fp"]
    assert "CFP-FP is absent: insightface's training archives carry it" in capsys.readouterr().err


def test_named_sets_come_first_and_all_others_of_the_folder_after_them(
    write_set: WriteSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alike = write_set(tmp_path / "lfw.bin", 20)
    for name in ("agedb_30", "mine"):
        (tmp_path / f"{name}.bin").write_bytes(alike.read_bytes())
    other_pairs = write_set(tmp_path / "another.bin", 20, 300)
    found = benchmarks.find([tmp_path], ["lfw", "calfw", "agedb_30"])
    assert list(found.sets) == ["lfw", "agedb_30", "another", "mine"]
    assert (list(found.absent), found.beside) == (["calfw"], ["another", "mine"])
    assert benchmarks.find([tmp_path, other_pairs], ["lfw"]).beside == ["agedb_30", "mine"]  # asked for by its file
    only = benchmarks.find([tmp_path], ["lfw", "calfw"], only_named=True)
    assert (list(only.sets), list(only.absent), only.beside) == (["lfw"], ["calfw"], [])

    class Blind(Colours):
        """Tells people apart in sets of 20 pairs, and sees nothing in others."""

        def __call__(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().__call__(image_BHWC) if len(image_BHWC) == 40 else np.ones((len(image_BHWC), 4), np.float32)

    write_set(tmp_path / "another.bin", 30)
    result = evaluate(Blind(), [tmp_path], QUICK)
    assert list(result["benchmarks"]) == ["lfw", "agedb_30", "another", "mine"]
    assert result["benchmarks"]["another"]["accuracy"] < 1
    assert (result["mean_accuracy"], result["beside"]) == (1.0, ["agedb_30", "another", "mine"])
    assert "not in the mean: AgeDB-30, another, mine." in capsys.readouterr().err
    assert "Not in the mean: AgeDB-30, another, mine." in table.markdown([result])


def test_a_folder_of_other_sets_and_single_files_are_taken_as_they_are(write_set: WriteSet, tmp_path: Path) -> None:
    mine, other = write_set(tmp_path / "mine.bin", 20), write_set(tmp_path / "b" / "other.bin", 20)
    found = benchmarks.find([tmp_path], ["lfw"])
    assert (found.sets, list(found.absent), found.beside) == ({"mine": mine}, ["lfw"], [])
    assert benchmarks.find([other, mine], ["lfw"]) == benchmarks.Found({"other": other, "mine": mine})


def test_what_cannot_be_meant_as_a_set_is_a_sentence(write_set: WriteSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no verification set .*absent"):
        benchmarks.find([tmp_path / "absent"], ["lfw"])
    with pytest.raises(InputError, match=r"There is no verification set \(\*\.bin\) in") as caught:
        benchmarks.find([tmp_path], ["lfw", "calfw"])
    assert "Put lfw.bin, calfw.bin there" in caught.value.fix
    one, two = write_set(tmp_path / "a" / "lfw.bin", 20), write_set(tmp_path / "b" / "lfw.bin", 20)
    with pytest.raises(InputError, match="Two verification sets are called 'lfw'"):
        benchmarks.find([one, two], ["lfw"])


def test_fewer_pairs_than_folds_are_a_sentence(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(tmp_path / "few.bin", 6)
    with pytest.raises(InputError, match="few"):
        evaluate(Colours(), [tmp_path], QUICK)


def test_a_network_that_gives_nan_is_a_sentence(folder: Path) -> None:
    class Broken(Colours):
        def __call__(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.full((len(image_BHWC), 4), np.nan, np.float32)

    with pytest.raises(InputError, match="gives NaN or infinity for images of the verification set 'lfw'"):
        evaluate(Broken(), [folder], QUICK)


def test_the_same_embeddings_come_from_any_batch_size_and_the_mirror_image_is_added(folder: Path) -> None:
    benchmark = bins.read(folder / "lfw.bin")
    whole, parts = (embed(Colours(), benchmark, batch_size=size) for size in (128, 7))
    np.testing.assert_array_equal(whole.fused_ID, parts.fused_ID)
    image_BHWC = next(benchmark.batches(128))
    model = Colours()
    np.testing.assert_array_equal(whole.fused_ID, model(image_BHWC) + model(image_BHWC[:, :, ::-1]))
    assert embed(model, benchmark, flip=False).mirrored_ID is None


@pytest.fixture(scope="module")
def red_faces(tmp_path_factory: pytest.TempPathFactory) -> bins.VerificationSet:
    """Pairs whose people differ in red; blue belongs to the photograph."""

    def red(person: int, photo: int) -> bytes:
        image_HWC = face(person, photo)
        image_HWC[..., 2] = face(10_000 + 2 * person + photo, 7)[..., 2]
        return jpeg(image_HWC, 100)

    path = tmp_path_factory.mktemp("red") / "red.bin"
    images, same = [], []
    for pair in range(80):
        images += [red(pair, 0), red(pair + (pair % 2) * 300, 1)]
        same.append(pair % 2 == 0)
    bins.write(path, images, same)
    return bins.read(path)


def test_a_network_that_gains_much_by_swapping_red_and_blue_is_warned_about(red_faces: bins.VerificationSet) -> None:
    wrong = Colours("mine", color="bgr", channels=(0,))
    verdict = color_check.judge(wrong, red_faces, 80)
    assert verdict is not None
    assert verdict.warning is not None
    assert "With red and blue swapped, mine separates the pairs of red better" in verdict.warning
    assert verdict.warning.endswith("Try --color rgb.")


@pytest.mark.parametrize("channels", [(0,), (0, 1, 2), (1,)])
def test_a_network_in_its_own_order_is_not_warned_about(
    red_faces: bins.VerificationSet, channels: tuple[int, ...]
) -> None:
    assert color_check.judge(Colours(channels=channels), red_faces, 80) == color_check.Verdict(None)


def grey(benchmark: bins.VerificationSet) -> bins.VerificationSet:
    images = [jpeg(np.repeat(benchmark.image(index)[..., :1], 3, axis=2)) for index in range(len(benchmark.images))]
    return bins.VerificationSet("grey", images, benchmark.issame_N)


class Untaught(Colours):
    """Gives every picture nearly the same embedding: it has learned nothing."""

    def __call__(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        noise_BD = image_BHWC[:, ::16, ::16, 0].reshape(len(image_BHWC), -1) % 7
        return (100 + noise_BD).astype(np.float32)


def test_pairs_that_tell_nothing_about_colours_give_no_verdict(red_faces: bins.VerificationSet) -> None:
    wrong = Colours(color="bgr", channels=(0,))
    same = bins.VerificationSet("same", red_faces.images[:4], np.array([True, True]))
    assert color_check.judge(wrong, same, 80) is None
    assert color_check.judge(wrong, red_faces, 0) is None
    assert color_check.judge(wrong, grey(red_faces), 80) is None
    assert color_check.judge(Untaught(), red_faces, 80) is None


def test_the_first_set_that_can_tell_decides_about_the_channel_order(
    red_faces: bins.VerificationSet, tmp_path: Path
) -> None:
    for name, benchmark in (("a_grey", grey(red_faces)), ("b_red", red_faces), ("c_red", red_faces)):
        bins.write(tmp_path / f"{name}.bin", benchmark.images, benchmark.issame_N.tolist())
    settings = QUICK.model_copy(update={"color_check_pairs": 80, "names": ("a_grey", "b_red", "c_red")})
    said = evaluate(Colours("mine", color="bgr", channels=(0,)), [tmp_path], settings)["warnings"]
    assert len(said) == 1
    assert "separates the pairs of b_red better" in said[0]


def result_of(model: str, **accuracies: float) -> dict[str, Any]:
    figures = {name: {"accuracy": value, "ci95": None, "tar": {}} for name, value in accuracies.items()}
    return {"model": model, "benchmarks": figures, "mean_accuracy": float(np.mean(list(accuracies.values())))}


def test_several_seeds_give_mean_and_sample_deviation_of_the_sets_that_all_have() -> None:
    results = [result_of("a", lfw=0.90, calfw=0.8), result_of("b", lfw=0.94), result_of("c", lfw=0.92, calfw=0.7)]
    spread = over_seeds(results)
    assert list(spread["benchmarks"]) == ["lfw"]
    assert spread["benchmarks"]["lfw"] == {"mean": pytest.approx(0.92), "std": pytest.approx(0.02)}
    assert spread["models"] == ["a", "b", "c"]
    lines = table.markdown(results).splitlines()
    assert [cell.strip() for cell in lines[-1].split("|")[1:-1]][:2] == ["mean of 3", "92.00 ± 2.00"]
    assert len({len(line) for line in lines}) == 1


def test_the_table_shows_intervals_and_tar_in_percent(folder: Path) -> None:
    result = evaluate(Colours(), [folder], QUICK.model_copy(update={"far": (0.2,)}))
    text = table.markdown([result])
    assert "| colours     | 100.00 [100.00, 100.00] | 100.00 |" in text
    assert "| colours at FAR 2e-1 | 100.00 |" in text


def test_plots_are_one_roc_figure_and_a_histogram_for_each_set(folder: Path, tmp_path: Path) -> None:
    evaluate(Colours(), [folder], QUICK, plots=tmp_path / "plots")
    assert sorted(file.name for file in (tmp_path / "plots").iterdir()) == ["roc.png", "similarity_lfw.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in (tmp_path / "plots").iterdir())


def test_the_drawn_roc_curve_is_sklearns() -> None:
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(0)
    issame_N = rng.random(300) < 0.4
    dist_N = np.round(rng.normal(np.where(issame_N, 1.0, 1.6), 0.3), 1)
    far, tar = plots.roc(dist_N, issame_N)
    expected_far, expected_tar, _ = roc_curve(issame_N, -dist_N, drop_intermediate=False)
    np.testing.assert_allclose(far, expected_far)
    np.testing.assert_allclose(tar, expected_tar)


def test_the_overlap_audit_finds_the_one_photograph_of_a_benchmarks_person_in_another_class(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = write_people(tmp_path / "clean", 5, 4, first=2_000)
    (clean / "2001" / "1.jpg").write_bytes(b"\xff\xd8\xff damaged")
    leaking = write_people(tmp_path / "leaking", 5, 4, first=2_000)
    (leaking / "2003" / "9.jpg").write_bytes(jpeg(face(100, 0)))  # a photograph of pair 0
    model = Colours()
    found = {}
    for name, data in (("clean", clean), ("leaking", leaking)):
        audited = evaluate(model, [folder], QUICK, training=overlap.training_images(data, 112, 8))["overlap"]
        found[name] = audited["benchmarks"]["lfw"]
        assert audited["training_images"] == {"clean": 19, "leaking": 21}[name]
    assert "2001/1.jpg cannot be decoded" in capsys.readouterr().err
    assert found["clean"]["suspects"] == 0
    assert found["clean"]["max"] < found["clean"]["same_person_p50"]
    assert found["clean"]["expected_maximum"] == pytest.approx(found["clean"]["p99"], abs=0.25)
    nearest = found["leaking"]["nearest"][0]
    assert nearest["training"].endswith("2003/9.jpg")
    assert nearest["face"] == 0
    assert nearest["similarity"] == found["leaking"]["max"] > 0.9
    assert found["leaking"]["suspects"] > 0
    assert found["leaking"]["mean"] == pytest.approx(found["clean"]["mean"], abs=0.05)  # a mean would have hidden it


def test_an_overlap_audit_of_no_images_is_a_sentence(folder: Path) -> None:
    embedded = embed(Colours(), bins.read(folder / "lfw.bin"))
    with pytest.raises(InputError, match="holds no images"):
        overlap.audit(Colours(), overlap.TrainingImages([]), [embedded])
