import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.inference.estimator import SingleStageEstimator
from everypose.model_names import MODELS
from image_files import CMYK_JPEG
from inference import crop_stand_in
from inference.crop_stand_in import paint
from inference.stand_in import config, crowd, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "stand_in.onnx")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, blocks in [("a7", [(0, 0, 100)]), ("b8", [(0, 0, 50), (1, 1, 200)])]:
        assert cv2.imwrite(str(folder / f"{name}.png"), crowd(blocks)[..., ::-1])
    return folder


@pytest.fixture
def predict(everypose, model, tmp_path):
    def run(*arguments, stdin=b""):
        return everypose("predict", "-m", model, "-o", tmp_path / "out", *arguments, stdin=stdin)

    return run


def results(tmp_path):
    return json.loads((tmp_path / "out" / "results.json").read_text())


def test_a_folder(predict, photos, tmp_path):
    done = predict(photos)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 people in 2 images")
    assert [row["image_id"] for row in results(tmp_path)] == [7, 8, 8]
    for line in done.out.splitlines()[1:]:  # every place that is named is there
        assert Path(line.split()[-1]).exists()


def test_a_list_on_standard_input(predict, photos, tmp_path):
    assert predict("-", stdin=bytes(photos / "b8.png") + b"\n").code == 0
    assert [row["image_id"] for row in results(tmp_path)] == [8, 8]


def test_a_quoted_glob(predict, photos, tmp_path):
    assert predict(photos / "a*.png").code == 0
    assert len(results(tmp_path)) == 1


@pytest.mark.usefixtures("photos")
def test_a_second_run_over_the_same_place_finds_the_same(predict, tmp_path):
    for _ in range(2):  # the first run's pictures lie below the folder that is searched
        assert predict(tmp_path).code == 0
        assert len(results(tmp_path)) == 3


def test_a_list_with_spaces_other_scripts_and_repeats(predict, photos, tmp_path):
    deep = photos / "zwei Köpfe" / "三人"
    deep.mkdir(parents=True)
    (photos / "a7.png").rename(deep / "größer 写真.png")
    listed = [photos / "b8.png", photos, deep / "größer 写真.png", photos / "b8.png"]
    assert predict("-", photos / "b*.png", stdin=b"".join(bytes(path) + b"\n" for path in listed)).code == 0
    assert [row["file_name"] for row in results(tmp_path)] == ["b8.png", "b8.png", "größer 写真.png"]
    assert (tmp_path / "out" / "pictures" / "größer 写真.jpg").exists()


@pytest.mark.parametrize(
    ("save", "written"),
    [
        ("pictures", {"pictures", "contact_sheet.jpg"}),
        ("json", {"json"}),
        ("json, pictures", {"json", "pictures", "contact_sheet.jpg"}),
        ("", set()),
    ],
)
def test_only_what_is_asked_for_is_written(predict, photos, tmp_path, save, written):
    assert predict(photos, "--save", save).code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == written | {"results.json"}


def test_nobody_is_an_empty_list_and_still_a_picture(predict, tmp_path):
    assert cv2.imwrite(str(tmp_path / "meadow.png"), crowd([]))
    done = predict(tmp_path / "meadow.png")
    assert (done.code, done.out.splitlines()[0][:21]) == (0, "0 people in 1 images,")
    assert results(tmp_path) == []
    assert json.loads((tmp_path / "out" / "json" / "meadow.json").read_text())["people"] == []
    assert (tmp_path / "out" / "contact_sheet.jpg").exists()


def test_the_output_may_lie_inside_the_searched_folder(everypose, model, photos):
    for _ in range(2):
        assert everypose("predict", photos, "-m", model, "-o", photos / "found").code == 0
        assert len(json.loads((photos / "found" / "results.json").read_text())) == 3


def test_ctrl_c_leaves_whole_files_and_no_list(predict, photos, tmp_path, monkeypatch):
    predicted = []

    def interrupted(self, prepared):
        if predicted:
            raise KeyboardInterrupt
        predicted.append(1)
        return original(self, prepared)

    original = SingleStageEstimator.predict
    monkeypatch.setattr(SingleStageEstimator, "predict", interrupted)
    done = predict(photos, "--batch", "1")
    assert done.code == 130
    assert "Traceback" not in done.err
    assert not (tmp_path / "out" / "results.json").exists()
    assert not any(path.name.startswith(".") for path in (tmp_path / "out").rglob("*"))


def test_quiet_says_nothing(predict, photos):
    done = predict(photos, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_the_summary_as_json(predict, photos, tmp_path):
    (photos / "c.png").write_bytes(b"")
    done = predict(photos, "--json", "--save", "json")
    summary = json.loads(done.out)
    assert (done.code, summary["images"], summary["people"]) == (1, 2, 3)
    assert summary["failed"][0]["path"] == str(photos / "c.png")
    assert (summary["pictures"], summary["json"]) == (None, str(tmp_path / "out" / "json"))
    assert not (tmp_path / "out" / "pictures").exists()


def test_options_reach_the_model(predict, photos, tmp_path):
    assert predict(photos, "--min-score", "0.3").code == 0
    assert [round(row["score"] * 255) for row in results(tmp_path)] == [100, 200]
    assert predict(photos, "--flip", "--batch", "1").code == 0  # the flip test halves the stand-in's scores
    assert [round(row["score"] * 510) for row in results(tmp_path)] == [100, 200, 50]


def jpeg(image):
    return cv2.imencode(".jpg", image)[1].tobytes()


def exif_rotated(image):
    """A JPEG with the EXIF orientation 6: to be turned by 90 degrees clockwise."""
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    segment = b"Exif\x00\x00" + tiff
    content = jpeg(image)
    return content[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + content[2:]


BROKEN = {
    "zero.jpg": b"",
    "truncated.jpg": jpeg(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))[:900],
    "text.jpg": b"these are words\n" * 50,
    "text.png": b"%PDF-1.4",
}


def test_broken_images_are_named_and_everything_else_is_done(predict, photos, tmp_path):
    for name, content in BROKEN.items():
        (photos / name).write_bytes(content)
    (photos / "locked.png").mkdir()  # a folder with an image's name holds no image
    done = predict(photos)
    assert done.code == 1
    assert len(results(tmp_path)) == 3
    lines = done.err.splitlines()
    assert lines[0] == "everypose: 4 of 6 images failed:"
    assert len(lines) == 5
    for line, name in zip(lines[1:], sorted(BROKEN), strict=True):
        assert str(photos / name) in line


def test_one_broken_image_that_is_named_itself(predict, tmp_path):
    (tmp_path / "zero.jpg").write_bytes(b"")
    done = predict(tmp_path / "zero.jpg")
    assert done.code == 1
    assert "zero.jpg is empty" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("name", "content", "people"),
    [
        ("grey.png", np.full((64, 64), 200, np.uint8), 4),
        ("rgba.png", np.dstack([crowd([(0, 1, 90)])[..., ::-1], np.full((64, 64), 9, np.uint8)]), 1),
        ("16bit.png", crowd([(0, 1, 90)])[..., ::-1].astype(np.uint16) * 257, 1),
        ("one_pixel.png", np.full((1, 1, 3), 255, np.uint8), 0),
        ("strip.png", np.zeros((1, 5000, 3), np.uint8), 0),
        ("huge.jpg", np.zeros((9000, 12000), np.uint8), 0),
        ("cmyk.jpg", CMYK_JPEG, 4),
        ("rotated.jpg", exif_rotated(crowd([(0, 0, 90)])[..., ::-1]), 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusual_images_work(predict, tmp_path, name, content, people):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        assert cv2.imwrite(str(path), content)
    done = predict(path, "--save", "json")
    assert (done.code, done.err) == (0, "")
    assert len(results(tmp_path)) == people
    if name == "rotated.jpg":  # the block at the top left is seen at the top right
        assert np.mean(results(tmp_path)[0]["keypoints"][0::3]) > 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "no such file or folder: nowhere.jpg"),
        (["no*.jpg"], "no image matches no*.jpg"),
        (["-"], "no image is named"),
        (["clip.mp4"], "clip.mp4 is a video"),
        (["a7.png", "--save", "video"], "--save video is unknown"),
        (["a7.png", "--device", "tpu"], "unknown device 'tpu'"),
        (["a7.png", "-m", "boir-light"], "did you mean boir-lite?"),
        (["a7.png", "-m", "nothing.onnx"], "there is no model at nothing.onnx"),
    ],
    ids=str,
)
def test_wrong_usage_is_one_line_and_leaves_with_2(predict, photos, monkeypatch, arguments, message):
    monkeypatch.chdir(photos)
    (photos / "clip.mp4").write_bytes(b"")
    done = predict(*arguments)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("everypose: ")


@pytest.mark.parametrize("arguments", [["--min-score", "2"], ["--batch", "0"], ["--batch", "many"]], ids=str)
def test_values_out_of_range_leave_with_2(predict, photos, arguments):
    assert predict(photos, *arguments).code == 2


def test_a_damaged_model_is_one_line(predict, photos, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    done = predict(photos, "-m", tmp_path / "bad.onnx")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "bad.onnx" in done.err
    assert not (tmp_path / "out").exists()


def test_keypoints_that_do_not_match_the_skeleton_are_one_line(everypose, photos, tmp_path):
    skeleton = {"name": "two", "keypoints": ["left", "right"], "flip_pairs": [[0, 1]], "links": [], "sigmas": [1, 1]}
    model = write_model(tmp_path / "two.onnx", {"everypose": json.dumps(config() | {"skeleton": skeleton})})
    done = everypose("predict", photos, "-m", model, "-o", tmp_path / "out")
    assert done.code == 1
    assert "its skeleton two has 2 keypoints" in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_folder_that_cannot_be_written_is_one_line(everypose, model, photos, tmp_path):
    (tmp_path / "file").write_text("")
    done = everypose("predict", photos, "-m", model, "-o", tmp_path / "file")
    assert done.code == 1
    assert done.err == f"everypose: cannot write {tmp_path / 'file' / 'results.json'}: File exists\n"


def test_a_full_disk_is_one_line(predict, photos, tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    done = predict(photos)
    assert done.code == 1
    assert done.err.endswith("No space left on device\n")
    assert len(done.err.splitlines()) == 1
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.fixture
def cards(tmp_path):
    """Two images with a red person each, the second also with a blue one."""
    folder = tmp_path / "cards"
    folder.mkdir()
    for name, people in [("a7", [(60, 60, 9, RED)]), ("b8", [(90, 70, 9, RED), (100, 80, 9, BLUE)])]:
        assert cv2.imwrite(str(folder / f"{name}.png"), paint(people)[..., ::-1])
    return folder


@pytest.fixture
def predict_crops(everypose, tmp_path):
    crops = crop_stand_in.write_model(tmp_path / "crops.onnx")

    def run(*arguments):
        return everypose("predict", "-m", crops, "-o", tmp_path / "out", *arguments)

    return run


def write_boxes(tmp_path, *rows):
    rows = [{"image_id": number, "category_id": 1, "bbox": box, "score": score} for number, box, score in rows]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    return tmp_path / "boxes.json"


RED, BLUE = (240, 0, 0), (0, 0, 240)
ROWS = [(7, [40, 40, 40, 40], 0.5), (8, [75, 55, 40, 40], 0.75), (8, [10, 10, 0, 9], 0.9), (9, [0, 0, 9, 9], 1.0)]


def test_a_top_down_model_takes_boxes_from_a_file(predict_crops, cards, tmp_path):
    done = predict_crops(cards, "--boxes", write_boxes(tmp_path, *ROWS))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 people in 2 images")
    assert f"  boxes          from {tmp_path / 'boxes.json'}, for 2 of 2 images; 1 left out, which have no" in done.out
    rows = results(tmp_path)
    assert [row["image_id"] for row in rows] == [7, 8, 8]
    means = [(np.mean(row["keypoints"][0::3]), np.mean(row["keypoints"][1::3])) for row in rows]
    np.testing.assert_allclose(means, [(60, 60), (90, 70), (100, 80)], atol=1)
    np.testing.assert_allclose([row["score"] for row in rows], np.array([0.5, 0.75, 0.375]) * 240 / 255, rtol=1e-5)
    assert rows[0]["bbox"] == [40, 40, 40, 40]
    assert (tmp_path / "out" / "contact_sheet.jpg").exists()


def test_images_without_boxes_have_nobody(predict_crops, cards, tmp_path):
    done = predict_crops(cards, "--boxes", write_boxes(tmp_path, *ROWS), "--box-threshold", "0.7", "--json")
    assert done.code == 0
    assert json.loads(done.out)["boxes"].endswith(
        "for 1 of 2 images; 1 left out, which have no area, lie outside or are too small"
    )
    assert [row["image_id"] for row in results(tmp_path)] == [8, 8]


def test_results_of_one_run_are_boxes_for_the_next(predict_crops, everypose, model, photos, tmp_path):
    assert everypose("predict", photos, "-m", model, "-o", tmp_path / "first").code == 0
    assert predict_crops(photos / "b8.png", photos / "a7.png", "--boxes", tmp_path / "first" / "results.json").code == 0
    assert [row["file_name"] for row in results(tmp_path)] == ["b8.png", "b8.png", "a7.png"]


def test_a_top_down_model_takes_boxes_from_another_model(predict_crops, model, photos, tmp_path):
    done = predict_crops(photos, "--detector", model)
    assert (done.code, done.err) == (0, "")
    assert f"  boxes          by {model}\n" in done.out
    assert [row["image_id"] for row in results(tmp_path)] == [7, 8, 8]
    assert predict_crops(photos, "--detector", model, "--box-threshold", "0.3").code == 0
    assert [row["image_id"] for row in results(tmp_path)] == [7, 8]


def test_the_default_source_of_boxes_is_named(predict_crops, model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("everypose.models.bundled", lambda _: model)
    done = predict_crops(photos)
    assert "  boxes          by boir-lite, the default (see --detector and --boxes)\n" in done.out
    assert len(results(tmp_path)) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--boxes", "boxes.json", "--detector", "boir-lite"],
            2,
            "--detector and --boxes both say where the people are",
        ),
        (["--boxes", "gone.json"], 1, "cannot read gone.json"),
        (["--boxes", "boxes.json"], 1, "boxes.json: entry 0 is not a detection: it has no 'bbox'"),
        (["--detector", "boir-light"], 2, "did you mean boir-lite?"),
        (["--box-threshold", "2"], 2, "box-threshold"),
    ],
    ids=str,
)
def test_wrong_boxes_are_one_line(predict_crops, cards, monkeypatch, arguments, code, message):
    monkeypatch.chdir(cards)
    (cards / "boxes.json").write_text("[{}]")
    done = predict_crops("a7.png", *arguments)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (cards.parent / "out").exists()


@pytest.mark.parametrize("arguments", [["--detector", "boir-lite"], ["--box-threshold", "0.5"]], ids=str)
def test_a_model_that_finds_people_by_itself_takes_no_boxes(predict, photos, arguments):
    done = predict(photos, *arguments)
    assert done.code == 2
    assert "stand-in finds people by itself" in done.err


def test_demo_draws_the_bundled_pictures(everypose, model, photos, tmp_path, monkeypatch):
    import everypose as package

    monkeypatch.setattr(package, "__file__", str(tmp_path / "__init__.py"))
    photos.rename(tmp_path / "examples")
    done = everypose("demo", "-m", model, "-o", tmp_path / "demo")
    assert done.code == 0
    assert "a7.png" in done.out
    assert "b8.png" in done.out
    assert "contact_sheet.jpg" in done.out.replace("\n", "")
    assert len(list((tmp_path / "demo" / "pictures").iterdir())) == 2


def test_models_lists_every_name(everypose):
    done = everypose("models")
    assert done.code == 0
    assert all(known.name in done.out for known in MODELS)
    assert [row["name"] for row in json.loads(everypose("models", "--json").out)] == [known.name for known in MODELS]
