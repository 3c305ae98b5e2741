import json

import cv2
import numpy as np
import pytest

from cli.outputs import results
from inference import crop_stand_in
from inference.crop_stand_in import paint


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
    monkeypatch.setattr("everypose.models.locate.bundled", lambda _: model)
    done = predict_crops(photos)
    assert "  boxes          by picodet-s, the default (see --detector and --boxes)\n" in done.out
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
