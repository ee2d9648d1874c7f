"""`synthface portrait`: pictures, similarities and sheets of one person, of several, and of the way between two."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from generator_samples import patterns, write_patch_encoder

from synthface.identity import sphere


@pytest.fixture(scope="module")
def studio(world, tmp_path_factory):
    """Options that name an encoder of 16 dimensions and a generator of 64-pixel pictures that reads them."""
    from generator_samples import GOLDEN

    place = tmp_path_factory.mktemp("studio")
    shutil.copytree(GOLDEN / "checkpoint", place / "generator")
    (place / "generator" / "synthface.json").write_text(json.dumps({"dimension": 16}))
    write_patch_encoder(place / "encoder.onnx")
    values = {
        "encoder.model": place / "encoder.onnx",
        "encoder.detector": "null",
        "generator.model": place / "generator",
        "generator.num_inference_steps": 2,
        "generator.dtype": "float32",
    }
    return ["--device", "cpu", *(part for key, value in values.items() for part in ("--set", f"{key}={value}"))]


@pytest.fixture
def photographs(tmp_path):
    """Two people, two aligned crops of each; the second crop is a little darker."""
    paths = []
    for person, picture in enumerate(patterns(2)):
        for copy, factor in enumerate((1.0, 0.8)):
            paths.append(tmp_path / f"person{person}-{copy}.png")
            cv2.imwrite(str(paths[-1]), (picture * factor).astype(np.uint8)[..., ::-1])
    return paths


def embedded(paths, world):
    from synthface.encoder import open_encoder

    pictures = np.stack([cv2.imread(str(path))[..., ::-1] for path in paths])
    return sphere.normalize(open_encoder(world / "encoder.onnx", device="cpu").embed(pictures))


def test_each_photograph_is_a_person(synthface, studio, photographs, world, tmp_path):
    done = synthface("portrait", photographs[0], photographs[2], "--n", 3, "--out", tmp_path / "out", "--json", *studio)
    assert done.code == 0, done.err
    people = done.json["people"]
    assert [person["name"] for person in people] == ["person0-0", "person1-0"]
    for person, source in zip(people, (photographs[0], photographs[2]), strict=True):
        assert len(person["pictures"]) == 3
        drawn = np.stack([cv2.imread(entry["file"])[..., ::-1] for entry in person["pictures"]])
        assert drawn.shape == (3, 64, 64, 3)
        small = np.stack([cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA) for picture in drawn])
        from synthface.encoder import open_encoder

        unit = sphere.normalize(open_encoder(world / "encoder.onnx", device="cpu").embed(small))
        wanted = unit @ embedded([source], world)[0]
        assert [entry["similarity"] for entry in person["pictures"]] == pytest.approx(wanted.tolist(), abs=1e-5)
        assert person["similarity"] == pytest.approx(float(wanted.mean()), abs=1e-5)
    sheet = cv2.imread(done.json["contact_sheet"])
    assert sheet.shape == (2 * 66 - 2, 4 * 66 - 2, 3), "the crop and three pictures of each"


def test_several_photographs_are_averaged_to_one_person(synthface, studio, photographs, world, tmp_path):
    done = synthface("portrait", *photographs[:2], "--average", "--n", 1, "--out", tmp_path / "out", "--json", *studio)
    assert done.code == 0, done.err
    (person,) = done.json["people"]
    np.savez(tmp_path / "mean.npz", embeddings=sphere.average(embedded(photographs[:2], world))[None])
    again = synthface("portrait", tmp_path / "mean.npz", "--n", 1, "--out", tmp_path / "again", "--json", *studio)
    assert again.json["people"][0]["name"] == "mean"
    first, second = person["pictures"][0], again.json["people"][0]["pictures"][0]
    assert np.array_equal(cv2.imread(first["file"]), cv2.imread(second["file"]))
    assert first["similarity"] == pytest.approx(second["similarity"], abs=1e-6)


def test_the_way_between_two_people_begins_and_ends_with_them(synthface, studio, photographs, tmp_path):
    ends = photographs[0], photographs[2]
    done = synthface("portrait", "--between", *ends, "--n", 4, "--out", tmp_path / "out", "--json", *studio)
    assert done.code == 0, done.err
    pictures = done.json["pictures"]
    assert [entry["share"] for entry in pictures] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert len({entry["seed"] for entry in pictures}) == 1
    alone = synthface("portrait", *ends, "--n", 1, "--out", tmp_path / "alone", "--json", *studio)
    for entry, person in ((pictures[0], alone.json["people"][0]), (pictures[-1], alone.json["people"][1])):
        found, wanted = (cv2.imread(file).astype(int) for file in (entry["file"], person["pictures"][0]["file"]))
        assert np.abs(found - wanted).max() <= 2
    assert all(len(entry["similarity"]) == 2 for entry in pictures)


def test_the_text_names_every_picture_with_its_similarity(synthface, studio, photographs, tmp_path):
    done = synthface("portrait", photographs[0], "--n", 2, "--out", tmp_path / "out", *studio)
    lines = done.out.splitlines()
    assert Path(lines[0].split()[0]).is_file()
    assert -1 <= float(lines[0].split()[1]) <= 1
    assert lines[2].startswith("person0-0: similarity to the input ")
    assert lines[3] == str(tmp_path / "out" / "contact_sheet.png")


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ([], 2, "Portraits need photographs or embeddings"),
        (["a.png", "--between", "a.png", "b.png"], 2, "Portraits need photographs or embeddings"),
        (["--between", "a.png", "b.png", "--average"], 2, "--between leads from one person to another"),
        (["there-is-none.png"], 1, "There is no picture there-is-none.png"),
        (["half.png"], 1, "half.png is damaged"),
        (["huge.png"], 1, "huge.png has 400,000,000 pixels"),
        (["wide.png"], 1, "an aligned crop is square"),
        (["other.npz"], 1, "dimension 9"),
    ],
)
def test_bad_input_is_one_sentence(synthface, studio, photographs, tmp_path, monkeypatch, given, code, words):
    monkeypatch.chdir(tmp_path)
    data = photographs[0].read_bytes()
    Path("half.png").write_bytes(data[: len(data) // 2])
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + (20_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    import zlib

    Path("huge.png").write_bytes(head + zlib.crc32(head[12:]).to_bytes(4, "big") + data[33:])
    cv2.imwrite("wide.png", np.zeros((32, 64, 3), np.uint8))
    np.savez("other.npz", embeddings=np.ones((1, 9), np.float32))
    done = synthface("portrait", *given, "--n", 2, "--out", "out", *studio)
    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err


@pytest.fixture(scope="module")
def samples():
    """The small networks of the encoder's tests."""
    path = Path(__file__).parent.parent / "encoder" / "encoder_samples.py"
    spec = importlib.util.spec_from_file_location("samples_of_the_encoder", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def detecting(studio, samples, tmp_path):
    """Options of a studio whose detector takes bright squares for faces, in photographs and in what is drawn."""
    values = {
        "encoder.model": samples.write_encoder(tmp_path / "encoder.onnx"),
        "encoder.detector": samples.write_detector(tmp_path / "detector.onnx"),
        "encoder.detection_size": samples.DETECTOR_SIZE,
        "crop.align": "detect",
    }
    return [*studio, *(part for key, value in values.items() for part in ("--set", f"{key}={value}"))]


def test_faces_are_found_in_the_photograph_and_in_what_is_drawn(synthface, detecting, samples, tmp_path):
    from synthface import recipe as recipes
    from synthface.encoder import open_detector, open_encoder
    from synthface.encoder.faces import FaceFinder

    photograph = samples.write_jpeg(tmp_path / "bright.jpg", samples.dark_with_squares([(24, 24, 16)]))
    values = dict(part.split("=", 1) for part in detecting if "=" in str(part))
    for threshold in (0.05, 0.99):
        more = ("--set", f"encoder.detection_threshold={threshold}", "--set", "encoder.padding=[0]")
        done = synthface("portrait", photograph, "--n", 3, "--out", tmp_path / "out", "--json", *detecting, *more)
        assert done.code == 0, done.err
        (person,) = done.json["people"]
        recipe = recipes.build({}, {
            "encoder.detector": values["encoder.detector"], "encoder.detection_size": samples.DETECTOR_SIZE,
            "encoder.detection_threshold": threshold, "encoder.padding": [0],
        }).encoder  # fmt: skip
        find = FaceFinder.from_recipe(open_detector(recipe, device="cpu"), recipe)
        encoder = open_encoder(values["encoder.model"], device="cpu")

        def unit(file, find=find, encoder=encoder):
            picture = cv2.imread(str(file))[..., ::-1]
            (face,) = find([picture])
            return None if face is None else sphere.normalize(encoder.embed(face.crop(picture, 112)[None]))[0]

        for entry in person["pictures"]:
            found = unit(entry["file"])
            if found is None:
                assert entry["similarity"] is None
            else:
                assert entry["similarity"] == pytest.approx(float(found @ unit(photograph)), abs=1e-3)
        similarities = [entry["similarity"] for entry in person["pictures"]]
        assert (None in similarities) == (threshold > 0.9), "no noise is as bright as that"
    told = synthface("portrait", photograph, "--n", 1, "--out", tmp_path / "out", *detecting, *more)
    assert told.out.splitlines()[0].endswith("   no face")
    assert "similarity to the input no face on average" in told.out


def test_aligned_photographs_are_not_searched_and_drawn_pictures_are(synthface, detecting, samples, tmp_path):
    photograph = samples.write_jpeg(tmp_path / "dark.jpg", np.full((112, 112, 3), 9, np.uint8))
    options = [photograph, "--n", 2, "--out", tmp_path / "out", "--json", *detecting, "--aligned"]
    done = synthface("portrait", *options, "--set", "encoder.detection_threshold=0.99")
    assert done.code == 0, done.err
    (person,) = done.json["people"]
    assert None in [entry["similarity"] for entry in person["pictures"]], "no noise is as bright as that"
    refused = synthface("portrait", *options, "--set", "encoder.detector=null")
    assert refused.code == 2
    assert "names no detector" in refused.err


def test_a_photograph_without_a_face_is_said(synthface, detecting, samples, tmp_path):
    dark = samples.write_jpeg(tmp_path / "dark.jpg", samples.dark_with_squares([]))
    done = synthface("portrait", dark, "--n", 1, "--out", tmp_path / "out", *detecting)
    assert done.code == 1
    assert "No face was found in" in done.err
    assert "say --aligned" in done.err
    assert "Traceback" not in done.err


def test_control_pictures_steer(synthface, studio, photographs, controlnet, tmp_path):
    options = ["portrait", photographs[0], "--n", 2, *studio, "--json"]
    steered = [*options, "--set", f"generator.controlnet={controlnet}"]
    poses = tmp_path / "black.png", tmp_path / "white.png"
    for pose, level in zip(poses, (0, 255), strict=True):
        cv2.imwrite(str(pose), np.full((64, 64, 3), level, np.uint8))

    def drawn(out, command, *control):
        done = synthface(*command, "--out", tmp_path / out, *(part for pose in control for part in ("--control", pose)))
        assert done.code == 0, done.err
        return [cv2.imread(entry["file"]) for entry in done.json["people"][0]["pictures"]]

    plain, unsteered = drawn("plain", options), drawn("unsteered", steered)
    one, both = drawn("one", steered, poses[0]), drawn("both", steered, *poses)
    assert np.array_equal(plain, unsteered), "without control pictures the ControlNet has no part"
    assert not np.array_equal(plain[0], one[0])
    assert np.array_equal(one[0], both[0])
    assert not np.array_equal(one[1], both[1])


@pytest.mark.parametrize(
    ("control", "code", "words"),
    [
        (["pose.png"], 2, "the recipe names no ControlNet"),
        (["pose.png"] * 3, 2, "3 control pictures for 2 pictures. Give one for all"),
        (["wide.png", "--set", "generator.controlnet=FOLDER"], 1, "wide.png is 64×32; a control picture is square"),
        (["pose.png", "--set", "generator.controlnet=nowhere"], 1, "There is no folder or file nowhere"),
    ],
)
def test_control_pictures_that_do_not_fit_are_refused(
    synthface, studio, photographs, controlnet, tmp_path, monkeypatch, control, code, words
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(photographs[2], "pose.png")
    cv2.imwrite("wide.png", np.zeros((32, 64, 3), np.uint8))
    given = [word for place in control if place.endswith(".png") for word in ("--control", place)]
    given += [word.replace("FOLDER", str(controlnet)) for word in control if not word.endswith(".png")]
    done = synthface("portrait", photographs[0], "--n", 2, "--out", "out", *studio, *given)
    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_generator_of_other_embeddings_is_refused(synthface, studio, photographs, tmp_path):
    from generator_samples import GOLDEN

    other = ("--set", f"generator.model={GOLDEN / 'checkpoint'}")
    done = synthface("portrait", photographs[0], "--out", tmp_path / "out", *studio, *other)
    assert done.code == 1
    assert "gives embeddings of 16, and the generator" in done.err
