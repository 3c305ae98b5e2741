"""Geometry against the numbers of the authors' programs and against literal, slow twins."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from everypose.core import geometry
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton

SIGMAS = Skeleton.named("coco").require_sigmas()
numbers = st.floats(-1000, 1000, allow_nan=False, width=32)


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parents[1] / "golden" / "geometry.npz") as content:
        return dict(content)


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize(("size", "key"), [(128, "matrix_output128"), (512, "matrix_input512")])
def test_training_affine(golden, case, size, key):
    x, y, scale, rotation = golden[f"affine{case}/args_cx_cy_scale_rot"]
    matrix = geometry.similarity((x, y), size / (200 * scale), rotation, (size / 2, size / 2))
    np.testing.assert_allclose(matrix, golden[f"affine{case}/{key}"][:2], atol=1e-10)


@pytest.mark.parametrize("case", range(5))
def test_resize_for_inference(golden, case):
    height, width = golden[f"resize{case}/image_hw"].tolist()
    size, matrix = geometry.fit_short_side(geometry.Size(width, height), 512, 64)
    assert size == tuple(golden[f"resize{case}/resized_wh"].tolist())
    back = geometry.transform(golden[f"resize{case}/poses_in"][..., :2], geometry.inverse(matrix))
    np.testing.assert_allclose(back, golden[f"resize{case}/poses_out"][..., :2], atol=1e-9)


@pytest.mark.parametrize("case", ["square_flip0", "wide_flip0", "square_flip1", "wide_flip1"])
def test_oks_nms(golden, case):
    poses, scores = golden[f"infer_{case}/poses"], golden[f"infer_{case}/scores"]
    kept = geometry.oks_nms(poses, scores, SIGMAS, 0.8)
    assert kept.tolist() == golden[f"infer_{case}/oks_nms_keep_0.8"].tolist()


def test_less_than_a_pixel_too_long_is_dropped():
    # 512 / 333 * 500 = 768.77, which the released inference makes 768 and not 832.
    assert geometry.fit_short_side(geometry.Size(333, 500), 512, 64)[0] == (512, 768)


@pytest.mark.parametrize(("height", "width", "size"), [(0, 5, 512), (5, 0, 512), (5, 5, 0)])
def test_nothing_to_resize(height, width, size):
    with pytest.raises(EveryposeError, match="cannot be resized"):
        geometry.fit_short_side(geometry.Size(width, height), size, 64)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 1024), st.sampled_from([16, 32, 64]))
def test_sizes_are_multiples_of_the_step_and_the_middle_stays_in_the_middle(height, width, size, step):
    (new_width, new_height), matrix = geometry.fit_short_side(geometry.Size(width, height), size, step)
    assert new_width % step == new_height % step == 0
    assert min(new_width, new_height) == math.ceil(size / step) * step
    middle = geometry.transform([int(width / 2 + 0.5), int(height / 2 + 0.5)], matrix)
    np.testing.assert_allclose(middle, [new_width / 2, new_height / 2], rtol=1e-9)


def slow_similarity(point, center, scale, rotation, target):
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    x, y = point[0] - center[0], point[1] - center[1]
    return scale * (cos * x + sin * y) + target[0], scale * (-sin * x + cos * y) + target[1]


@given(
    st.tuples(numbers, numbers), st.tuples(numbers, numbers), st.floats(0.01, 50), numbers, st.tuples(numbers, numbers)
)
def test_similarity_is_the_formula_and_its_inverse_undoes_it(point, center, scale, rotation, target):
    matrix = geometry.similarity(center, scale, rotation, target)
    mapped = geometry.transform(point, matrix)
    np.testing.assert_allclose(mapped, slow_similarity(point, center, scale, rotation, target), rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(geometry.transform(mapped, geometry.inverse(matrix)), point, rtol=1e-6, atol=1e-6)


def slow_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / area if area > 0 else 0.0


def test_box_iou_equals_its_twin():
    rng = np.random.default_rng(1)
    first, second = (np.sort(rng.uniform(0, 10, (n, 2, 2)), axis=1).reshape(n, 4) for n in (6, 5))
    second[0] = first[0]
    second[1] = [3, 3, 3, 3]
    slow = [[slow_iou(a, b) for b in second] for a in first]
    np.testing.assert_allclose(geometry.box_iou(first, second), slow, atol=1e-12)
    assert geometry.box_iou(first[:0], second).shape == (0, 5)
    assert geometry.box_iou(second[1:2], second[1:2]) == 0


def slow_oks(a, b, area, sigmas):
    total = 0.0
    for (xa, ya), (xb, yb), sigma in zip(a[:, :2], b[:, :2], sigmas, strict=True):
        distance = math.hypot(xa - xb, ya - yb)
        total += math.exp(-(distance**2) / (2 * (2 * sigma) ** 2 * area))
    return total / len(sigmas)


def some_poses(count, seed, spread=12.0):
    rng = np.random.default_rng(seed)
    poses = rng.uniform(0, 100, (1, 17, 3)) + rng.normal(0, spread, (count, 17, 3)) * rng.uniform(0, 1, (count, 1, 1))
    return poses, rng.permutation(count) / count


def test_oks_equals_its_twin():
    first, _ = some_poses(5, 2)
    second, _ = some_poses(4, 2)
    areas = np.array([100.0, 900.0, 2500.0, 10.0, 5000.0])
    slow = [[slow_oks(a, b, area, SIGMAS) for b in second] for a, area in zip(first, areas, strict=True)]
    np.testing.assert_allclose(geometry.oks(first, second, areas, SIGMAS), slow, rtol=1e-9)
    pairwise = np.tile(areas[:, None], (1, 4))
    np.testing.assert_allclose(geometry.oks(first, second, pairwise, SIGMAS), slow, rtol=1e-9)


def test_oks_in_blocks_is_the_same(monkeypatch):
    first, _ = some_poses(7, 3)
    second, _ = some_poses(4, 3)
    areas = np.random.default_rng(0).uniform(10, 5000, (7, 4))
    wholes = [geometry.oks(first, second, areas, SIGMAS), geometry.oks(first, second, areas[:, 0], SIGMAS)]
    monkeypatch.setattr(geometry, "PAIRS_AT_ONCE", 9)
    blocks = [geometry.oks(first, second, areas, SIGMAS), geometry.oks(first, second, areas[:, 0], SIGMAS)]
    np.testing.assert_array_equal(blocks, wholes)


def test_oks_of_many_poses_needs_no_array_of_all_differences():
    poses, _ = some_poses(1500, 4)
    tracemalloc.start()
    try:
        geometry.pairwise_oks(poses, np.full(1500, 900.0), SIGMAS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * 2**20  # 612 MB for the differences alone


def slow_oks_nms(poses, scores, sigmas, threshold):
    def extent(pose):
        return (pose[:, 0].max() - pose[:, 0].min()) * (pose[:, 1].max() - pose[:, 1].min())

    kept = []
    for index in sorted(range(len(poses)), key=lambda i: -scores[i]):
        areas = [(extent(poses[index]) + extent(poses[other])) / 2 for other in kept]
        alike = [slow_oks(poses[index], poses[other], area, sigmas) for other, area in zip(kept, areas, strict=True)]
        if all(value <= threshold for value in alike):
            kept.append(index)
    return kept


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_oks_nms_equals_its_twin(seed, threshold):
    poses, scores = some_poses(15, seed)
    kept = geometry.oks_nms(poses, scores, SIGMAS, threshold).tolist()
    assert kept == slow_oks_nms(poses, scores, SIGMAS, threshold)
    # The case is worth something only when some go and some stay.
    assert 0 < len(kept) < 15


@pytest.mark.parametrize("seed", range(10))
def test_oks_nms_keeps_the_same_people_in_any_order(seed):
    poses, scores = some_poses(15, seed)
    order = np.random.default_rng(seed).permutation(15)
    shuffled = geometry.oks_nms(poses[order], scores[order], SIGMAS, 0.5)
    assert order[shuffled].tolist() == geometry.oks_nms(poses, scores, SIGMAS, 0.5).tolist()


def test_oks_nms_of_nobody_and_of_points():
    nobody = geometry.oks_nms(np.zeros((0, 17, 3)), np.zeros(0), SIGMAS, 0.8)
    assert nobody.shape == (0,)
    assert nobody.dtype == np.int64
    # Two poses without extent: the same place is a duplicate, another place is not.
    points = np.zeros((3, 17, 3))
    points[2] += 5
    assert geometry.oks_nms(points, np.array([0.1, 0.2, 0.3]), SIGMAS, 0.8).tolist() == [2, 1]


@given(arrays.arrays(np.float64, (4, 5, 2), elements=numbers))
def test_keypoint_boxes_touch_the_outermost_keypoints(points):
    boxes = geometry.keypoint_boxes(points)
    for box, pose in zip(boxes, points, strict=True):
        assert box.tolist() == [pose[:, 0].min(), pose[:, 1].min(), pose[:, 0].max(), pose[:, 1].max()]


def test_keypoint_boxes_look_only_at_what_is_labeled():
    poses = np.array([[[5, 6, 1], [0, 0, 0], [9, 7, 2]], [[3, 3, 0]] * 3], dtype=float)
    assert geometry.keypoint_boxes(poses).tolist() == [[5, 6, 9, 7], [0, 0, 0, 0]]
    assert geometry.keypoint_boxes(poses[:0]).shape == (0, 4)


def test_boxes_by_size_and_by_corners():
    boxes = np.array([[1.0, 2.0, 10.0, 20.0], [-3.0, 0.5, 0.25, 4.0]])
    np.testing.assert_array_equal(geometry.xywh_to_xyxy(boxes), [[1, 2, 11, 22], [-3, 0.5, -2.75, 4.5]])
    np.testing.assert_array_equal(geometry.xyxy_to_xywh(geometry.xywh_to_xyxy(boxes)), boxes)
    assert geometry.xywh_to_xyxy(np.zeros((0, 4))).shape == (0, 4)
