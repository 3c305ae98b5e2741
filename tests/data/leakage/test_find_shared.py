"""The same picture is found whatever was done to it; other pictures are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.data.discovery.image_sets import find_image_set
from everypose.data.leakage import find_shared as overlap
from everypose.data.leakage.find_shared import describe, describe_all, shared_images
from everypose.data.leakage.html_page import overlap_page
from everypose.errors import EveryposeError

CHANGES = {
    "recompressed": lambda image: image,
    "smaller": lambda image: cv2.resize(image, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, None, fx=1.5, fy=1.5),
    "stretched": lambda image: cv2.resize(image, (200, 200)),
    "cropped": lambda image: image[8:-12, 16:-6],
    "mirrored": lambda image: image[:, ::-1],
    "mirrored and cropped": lambda image: image[6:-3, 3:-20, :][:, ::-1],
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=1.1, beta=12),
}


def picture(seed: int) -> np.ndarray:
    """Something like a photo: shapes of many sizes with soft shading, different for each seed."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(40, 215, (4, 5, 3), np.uint8), (240, 180), interpolation=cv2.INTER_CUBIC)
    for _ in range(14):
        center, axes = rng.integers(0, 240, 2), rng.integers(5, 60, 2)
        color = tuple(int(value) for value in rng.integers(0, 255, 3))
        cv2.ellipse(image, center.tolist(), axes.tolist(), float(rng.integers(0, 180)), 0, 360, color, -1)
    return cv2.GaussianBlur(image, (0, 0), 1.2)


def save(path: Path, image: np.ndarray, quality: int = 90) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("a")
    return [save(folder / f"{seed}.jpg", picture(seed)) for seed in range(24)]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_picture_is_found(photos: list[Path], tmp_path: Path, change: str) -> None:
    a = [describe(path) for path in photos]
    changed = [save(tmp_path / f"x{n}.jpg", CHANGES[change](picture(n)), 45) for n in range(6)]
    others = [save(tmp_path / f"y{n}.jpg", picture(1000 + n)) for n in range(20)]
    found = shared_images(a, [describe(path) for path in [*changed, *others]])
    assert {(pair.first, pair.second) for pair in found} == {(photos[n], changed[n]) for n in range(6)}
    how = "mirrored picture" if "mirrored" in change else "same picture"
    assert {pair.how for pair in found} == {how}
    assert min(pair.similarity for pair in found) >= overlap.SAME_CORRELATION


def test_same_file_under_another_name(photos: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(photos[3].read_bytes())
    (pair,) = shared_images([describe(path) for path in photos], [describe(copy)])
    assert (pair.first, pair.second, pair.how, pair.similarity) == (photos[3], copy, "same file", 1.0)


def test_order_of_the_sets_does_not_matter(photos: list[Path], tmp_path: Path) -> None:
    b = [describe(save(tmp_path / f"{n}.jpg", CHANGES["mirrored and cropped"](picture(n)))) for n in range(0, 24, 5)]
    a = [describe(path) for path in photos]
    forth = {(pair.first, pair.second) for pair in shared_images(a, b)}
    back = {(pair.second, pair.first) for pair in shared_images(b, a)}
    assert forth == back
    assert len(forth) == 5


def test_flat_pictures_are_no_match(tmp_path: Path) -> None:
    flat = [describe(save(tmp_path / f"{n}.jpg", np.full((50, 60, 3), 80 + 20 * n, np.uint8))) for n in range(3)]
    assert shared_images(flat[:1], flat[1:]) == []


def test_empty_sets() -> None:
    assert shared_images([], []) == []


def test_mirror_signs_are_the_mirrored_picture(photos: list[Path]) -> None:
    """Literal twin: the descriptor of the mirrored thumbnail."""
    thumbnail = describe(photos[0]).thumbnail
    mirrored = overlap._descriptors(np.ascontiguousarray(thumbnail[:, ::-1]))[0]
    np.testing.assert_allclose(overlap._descriptors(thumbnail)[0] * overlap._mirror_signs(), mirrored, atol=1e-5)


def test_best_cosine_is_the_best_over_crops() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 3, 5)).astype(np.float32)
    slow = [
        [max(*(a[i, v] @ b[j, 0] for v in range(3)), *(a[i, 0] @ b[j, v] for v in range(3))) for j in range(4)]
        for i in range(4)
    ]
    np.testing.assert_allclose(overlap._best_cosine(a, b[:, 0], b), np.maximum(slow, -1), rtol=1e-5)


def test_unreadable_image_is_a_line(photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    good, line = describe_all([photos[0], bad])
    assert good.path == photos[0]
    assert str(bad) in line
    assert "\n" not in line


def test_find_image_set(photos: list[Path], tmp_path: Path) -> None:
    found = find_image_set(photos[0].parent)
    assert (found.files, found.problems) == (sorted(photos), [])
    with pytest.raises(EveryposeError, match="holds no images"):
        find_image_set(tmp_path)
    with pytest.raises(EveryposeError, match="does not exist"):
        find_image_set(tmp_path / "nothing")


def test_page_holds_the_pictures(photos: list[Path], tmp_path: Path) -> None:
    other = save(tmp_path / "<b>.jpg", picture(0), 50)
    shared = shared_images([describe(photos[0])], [describe(other)])
    page = overlap_page([("a & b", "c", shared)])
    assert page.count("data:image/jpeg;base64,") == 2
    assert "a &amp; b" in page
    assert "<b>" not in page


@pytest.mark.parametrize("shape", [(1, 20_000, 3), (20_000, 1, 3)])
def test_page_shows_long_pictures_small(tmp_path: Path, shape: tuple[int, ...]) -> None:
    line = save(tmp_path / "line.png", np.full(shape, 90, np.uint8))
    shared = [overlap.Shared(line, line, how="mirrored picture", similarity=1.0)]
    assert len(overlap_page([("a", "b", shared)])) < 10_000
