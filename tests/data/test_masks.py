from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.data.masks import loss_mask, segmentation_mask
from everypose.data.scenes import Scene
from everypose.errors import EveryposeError


def literal_polygon(points: list[tuple[float, float]], height: int, width: int) -> np.ndarray:
    """Pixel by pixel: a ray from the pixel's center upwards meets the outline an odd number of times."""
    mask = np.zeros((height, width), dtype=bool)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            for (xa, ya), (xb, yb) in zip(points, points[1:] + points[:1], strict=True):
                low, high = ((xa, ya), (xb, yb)) if xa <= xb else ((xb, yb), (xa, ya))
                if low[0] <= x < high[0]:
                    along = (x - low[0]) / (high[0] - low[0])
                    mask[row, column] ^= low[1] + along * (high[1] - low[1]) <= y
    return mask


def scene(boxes, segmentations, is_crowd, labeled) -> Scene:
    count = len(boxes)
    keypoints = np.zeros((count, 2, 3))
    keypoints[np.asarray(labeled, dtype=bool), 0] = (3, 3, 2)
    return Scene(
        image_id=1,
        path=Path("scene.jpg"),
        file_name="scene.jpg",
        width=20,
        height=10,
        annotation_ids=np.arange(count) + 70,
        keypoints=keypoints,
        boxes=np.array(boxes, dtype=float).reshape(-1, 4),
        areas=np.ones(count),
        is_crowd=np.array(is_crowd, dtype=bool),
        segmentations=segmentations,
    )


def flat(points) -> list[float]:
    return [float(value) for point in points for value in point]


# Thirds of pixels never fall on a pixel's center, where either answer would be right.
THIRDS = st.integers(-15, 60).map(lambda third: third / 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(THIRDS, THIRDS), min_size=3, max_size=7))
def test_polygon_equals_literal(points: list[tuple[float, float]]) -> None:
    np.testing.assert_array_equal(segmentation_mask([flat(points)], 11, 14), literal_polygon(points, 11, 14))


def test_polygons_of_one_annotation_are_joined() -> None:
    square = [2, 2, 6, 2, 6, 6, 2, 6]
    overlapping = [4, 4, 9, 4, 9, 8, 4, 8]
    mask = segmentation_mask([square, overlapping], 10, 10)
    assert mask.sum() == 16 + 20 - 4


def compressed(runs: list[int]) -> str:
    """The run-length code's text form, written from its description."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while True:
            digit, value = value & 31, value >> 5
            done = value == (-1 if digit & 16 else 0)
            text += chr(48 + digit + (0 if done else 32))
            if done:
                break
    return text


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_run_lengths_round_trip(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < rng.random()
    column_major = mask.T.reshape(-1)
    starts = np.flatnonzero(np.diff(column_major, prepend=False, append=not column_major[-1]))
    runs = np.diff(starts, prepend=0).tolist()
    for counts in (runs, compressed(runs), compressed(runs).encode()):
        decoded = segmentation_mask({"size": [height, width], "counts": counts}, height, width)
        np.testing.assert_array_equal(decoded, mask)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_pycocotools(seed: int) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    mask = rng.random((37, 53)) < 0.5
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(segmentation_mask(code, 37, 53), mask)
    # Polygons differ only along the outline, where COCO rounds to fifths of a pixel.
    polygon = (rng.random((3, 2)) * (53, 37)).reshape(-1).tolist()
    published = coco.decode(coco.frPyObjects([polygon], 37, 53))[:, :, 0].astype(bool)
    assert (segmentation_mask([polygon], 37, 53) != published).sum() <= 25


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [10, 20], "counts": [150]},  # too short
        {"size": [20, 10], "counts": [200]},  # of another image
        {"size": [10, 20], "counts": [-1, 201]},
        {"size": [10, 20]},
        [[1.0, 2.0, 3.0]],
        [["a", "b"]],
        [[float("nan"), 1.0, 2.0, 3.0]],
        [[1e308, -1e308, -1e308, 1e308, 0.0, 0.0]],  # an edge longer than any number
        5,
    ],
)
def test_malformed_segmentation_names_its_annotation(segmentation) -> None:
    with pytest.raises(EveryposeError, match=r"scene\.jpg, annotation 70"):
        loss_mask(scene([[0, 0, 5, 5]], [segmentation], [True], [False]))


def test_loss_mask_rules() -> None:
    annotations = scene(
        boxes=[[0, 0, 5, 5], [10, 0, 15, 5], [16, 6, 25, 12], [5, 5, 8, 8]],
        segmentations=[[[0, 0, 4, 0, 4, 4, 0, 4]], None, None, [[5, 5, 8, 5, 8, 8, 5, 8]]],
        is_crowd=[True, False, True, False],
        labeled=[False, False, False, True],
    )
    expected = np.ones((10, 20), dtype=bool)
    expected[0:4, 0:4] = False  # the crowd's polygon, not its box
    expected[6:, 16:] = False  # a crowd without segmentation: its box, clipped
    np.testing.assert_array_equal(loss_mask(annotations, mask_unlabeled=False), expected)
    expected[0:5, 10:15] = False  # a person without keypoints
    np.testing.assert_array_equal(loss_mask(annotations), expected)


def test_no_segmentation_is_an_empty_mask() -> None:
    assert not segmentation_mask(None, 4, 5).any()
    assert not segmentation_mask([], 4, 5).any()
