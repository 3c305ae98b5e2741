"""Everything that may stand for an image is accepted, or refused by one line that says what is."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.data.images import MOST_PIXELS
from everypose.errors import EveryposeError, UsageError
from everypose.inference.image_like import image_pixels, is_single_image
from everypose.inference.loading import load
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
PNG = cv2.imencode(".png", RGB[..., ::-1])[1].tobytes()


def test_files_bytes_and_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    for image in (path, str(path), PNG, bytearray(PNG), memoryview(PNG), io.BytesIO(PNG), RGB, RGB[::-1][::-1]):
        assert is_single_image(image)
        np.testing.assert_array_equal(image_pixels(image), RGB)
    with path.open("rb") as file:
        np.testing.assert_array_equal(image_pixels(file), RGB)


def test_pil_images() -> None:
    pil = pytest.importorskip("PIL.Image")
    image = pil.open(io.BytesIO(PNG))
    assert is_single_image(image)
    np.testing.assert_array_equal(image_pixels(image), RGB)
    np.testing.assert_array_equal(image_pixels(pil.fromarray(RGB[..., 0])), np.dstack([RGB[..., 0]] * 3))


def test_what_is_no_image_is_one_line() -> None:
    torch = pytest.importorskip("torch")
    for image in (None, 3, object(), io.StringIO("text"), torch.zeros(3, 4, 5), RGB.astype(float), RGB[0], b"x", b""):
        with pytest.raises(EveryposeError) as error:
            image_pixels(image)
        assert "\n" not in str(error.value)
    too_large = np.broadcast_to(np.uint8(0), (MOST_PIXELS // 1000 + 1, 1000, 3))
    with pytest.raises(EveryposeError, match="too large"):
        image_pixels(too_large)


def test_estimators_say_what_they_accept() -> None:
    pose = load("boir-lite", threads=1)
    assert len(repr(pose)) < 100
    people = pose(np.zeros((64, 64, 3), np.uint8))
    assert len(people) == 0
    for images in (None, 5, b"x", [None]):
        with pytest.raises(EveryposeError, match=r"not accepted|not an image"):
            pose(images)  # type: ignore[call-overload]


@pytest.mark.parametrize("threads", [0, -1, 10**6])
def test_impossible_numbers_of_threads(threads: int) -> None:
    with pytest.raises(UsageError, match="threads"):
        load("boir-lite", threads=threads)


def test_people_and_pictures_are_short_comparable_values() -> None:
    people = People(np.full((2, 17, 3), 9.0), [0.9, 0.5], Skeleton.named("coco"), image=np.zeros((20, 30, 3), np.uint8))
    assert people[0] == people[0]
    assert people[0] != people[1]
    assert len({people[0], people[0], people[1]}) == 2
    picture = people.draw()
    np.testing.assert_array_equal(np.asarray(picture), picture.image)
    assert all(len(repr(each)) < 120 for each in (people, people[0], picture))
