"""Weighted box fusion: a literal reference, and its properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.errors import UsageError
from everypose.inference.box_fusion import FusedDetectors, fuse_boxes
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.detectors import find_detector

IMAGE = Photo(np.zeros((40, 60, 3), np.uint8))


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def reference(found, threshold):
    """The paper's steps, with lists of the boxes of each cluster."""
    entries = [(score, box) for one in found for box, score in zip(one.boxes, one.scores, strict=True)]
    clusters = []
    for score, box in sorted(entries, key=lambda entry: -entry[0]):
        overlaps = [iou(box, mean) for mean, _ in clusters]
        if overlaps and max(overlaps) > threshold:
            best = overlaps.index(max(overlaps))
            clusters[best][1].append((score, box))
        else:
            clusters.append((box, [(score, box)]))
            best = len(clusters) - 1
        members = clusters[best][1]
        total = sum(score for score, _ in members)
        clusters[best] = (sum(score * box for score, box in members) / total, members)
    fused = []
    for mean, members in clusters:
        confidence = sum(score for score, _ in members) / len(members)
        fused.append((confidence * min(len(members), len(found)) / len(found), mean))
    return sorted(fused, key=lambda entry: -entry[0])


def random_boxes(rng, count):
    corners = rng.uniform(0, 30, (count, 2))
    return Boxes(
        np.concatenate([corners, corners + rng.uniform(5, 30, (count, 2))], axis=1), rng.uniform(0.1, 1, count)
    )


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_as_the_reference(seed, detectors):
    rng = np.random.default_rng(seed)
    found = [random_boxes(rng, rng.integers(0, 8)) for _ in range(detectors)]
    expected = reference(found, 0.55)
    fused = fuse_boxes(found)
    assert fused.scores == pytest.approx([score for score, _ in expected])
    assert fused.boxes == pytest.approx(np.array([box for _, box in expected]).reshape(-1, 4))


def test_equal_detectors_change_nothing():
    boxes = Boxes(np.array([[0.0, 0, 10, 10], [20, 20, 30, 39]]), np.array([0.9, 0.4]))
    fused = FusedDetectors([lambda _: boxes, lambda _: boxes])(IMAGE)
    assert fused.boxes == pytest.approx(boxes.boxes)
    assert fused.scores == pytest.approx(boxes.scores)


def test_wrong_use():
    with pytest.raises(UsageError, match="two detectors or more"):
        FusedDetectors([lambda _: Boxes(np.zeros((0, 4)), np.zeros(0))])
    with pytest.raises(UsageError, match="above 0 and below 1"):
        FusedDetectors([lambda _: Boxes(np.zeros((0, 4)), np.zeros(0))] * 2, iou=1.0)


def test_detectors_named_with_commas():
    detector = find_detector("picodet-s, picodet-s")
    assert isinstance(detector, FusedDetectors)
    assert len(detector.detectors) == 2
