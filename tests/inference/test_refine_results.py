"""Refinement of saved COCO results."""

import json

import cv2
import numpy as np
import pytest

from everypose.errors import EveryposeError
from everypose.inference.inputs import find_inputs
from everypose.inference.refine_results import refine_results
from everypose.inference.refinement import Refiner
from inference.pose_stand_in import PoseStandIn, refiner_config


def pose(seed):
    return np.random.default_rng(seed).uniform((10, 10, 0.1), (110, 100, 1), (17, 3)).round(2)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("000000000007.png", "b.png"):
        cv2.imwrite(str(folder / name), np.zeros((120, 160, 3), np.uint8))
    return find_inputs([str(folder)]).images


def entry(seed, **more):
    own = {"image_id": 7, "category_id": 1, "keypoints": pose(seed).ravel().tolist(), "score": 0.9 - seed / 10}
    return own | more


def refined(tmp_path, entries, photos, **inference):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(entries))
    return refine_results(path, photos, Refiner(PoseStandIn(), refiner_config(**inference)), quiet=True)


def test_entries_keep_everything_except_their_keypoints(tmp_path, photos):
    named = {"file_name": "b.png", "image_id": 1}
    entries = [entry(0, bbox=[1, 2, 3, 4], extra="kept"), entry(1, **named), entry(2)]
    by_number = [photo for photo in photos if photo.path.name == "000000000007.png"]
    assert by_number[0].image_id == 1  # numbered by place, as the other image has no number
    result = refined(tmp_path, [one | {"file_name": "000000000007.png"} if "file_name" not in one else one
                                for one in entries], photos, nms=None)  # fmt: skip
    assert (result.images, result.people, result.suppressed, result.failed) == (2, 3, 0, [])
    for before, after in zip(entries, result.entries, strict=True):
        assert after["score"] == before["score"]
        assert after.get("bbox") == before.get("bbox")
        assert after["keypoints"][2::3] == pytest.approx(before["keypoints"][2::3])
        literal = Refiner(PoseStandIn(), refiner_config(nms=None)).refine(
            np.reshape(before["keypoints"], (1, 17, 3)), np.zeros((120, 160, 3), np.uint8)
        )
        np.testing.assert_allclose(np.reshape(after["keypoints"], (17, 3)), literal[0], atol=1e-3)
    assert result.entries[0]["extra"] == "kept"


def test_entries_without_a_name_belong_to_the_image_with_their_number(tmp_path, photos):
    numbered = find_inputs([str(photos[0].path)]).images
    assert refined(tmp_path, [entry(0), entry(2, file_name="")], numbered).people == 2


def test_the_number_decides_between_images_of_one_name(tmp_path):
    for folder, side in (("x", 120), ("y", 240)):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "photos" / folder / "a.png"), np.zeros((side, 2 * side, 3), np.uint8))
    photos = find_inputs([str(tmp_path / "photos")]).images
    assert [(photo.path.parent.name, photo.image_id) for photo in photos] == [("x", 1), ("y", 2)]
    entries = [entry(0, file_name="a.png", image_id=number) for number in (1, 2, 3)]
    seen = []

    class Watching(Refiner):
        def refine(self, keypoints, image):
            seen.append((len(keypoints), image.shape[0]))
            return super().refine(keypoints, image)

    path = tmp_path / "results.json"
    path.write_text(json.dumps(entries))
    result = refine_results(path, photos, Watching(PoseStandIn(), refiner_config()), quiet=True)
    assert seen == [(1, 120), (1, 240)]
    assert (result.images, result.people, result.suppressed) == (2, 2, 0)
    assert result.failed == ["there is no image a.png with the number 3"]


def test_duplicates_are_left_out(tmp_path, photos):
    entries = [entry(0, file_name="b.png"), entry(0, file_name="b.png", score=0.95)]
    result = refined(tmp_path, entries, photos)
    assert [one["score"] for one in result.entries] == [0.95]
    assert result.suppressed == 1


def test_people_of_missing_and_broken_images_stay(tmp_path, photos):
    (tmp_path / "photos" / "b.png").write_bytes(b"no image")
    entries = [entry(0, file_name="b.png"), entry(1, file_name="c.png"), entry(2, image_id=99)]
    result = refined(tmp_path, entries, photos)
    assert result.entries == entries
    assert len(result.failed) == 3
    assert "b.png" in result.failed[0]
    assert "c.png" in result.failed[1]
    assert "99" in result.failed[2]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({}, "is not a COCO results list"),
        ([entry(0, keypoints=[1, 2, 3])], "needs 51 keypoint numbers"),
        ([entry(0, frame=3, file_name="a.mp4")], "of a video's frame"),
        ([entry(0, keypoints="text")], "results.json"),
        ([entry(0, image_id="a")], "neither a file_name nor a number"),
    ],
)
def test_other_files_are_refused(tmp_path, photos, entries, words):
    with pytest.raises(EveryposeError, match=words):
        refined(tmp_path, entries, photos)
