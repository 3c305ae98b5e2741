import json

import cv2
import numpy as np
import pytest

from cli.outputs import results
from image_files import CMYK_JPEG
from inference.stand_in import config, crowd, write_model


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
        ("gray.png", np.full((64, 64), 200, np.uint8), 4),
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
        (["-"], "no image or video is named"),
        (["a7.png", "--save", "video"], "--save video is unknown"),
        (["a7.png", "--device", "tpu"], "unknown device 'tpu'"),
        (["a7.png", "-m", "boir-light"], "did you mean boir-lite?"),
        (["a7.png", "-m", "nothing.onnx"], "there is no model at nothing.onnx"),
    ],
    ids=str,
)
def test_wrong_usage_is_one_line_and_leaves_with_2(predict, photos, monkeypatch, arguments, message):
    monkeypatch.chdir(photos)
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
