"""Color histograms against pixel loops."""

import cv2
import numpy as np

from everypose.tracking.appearance import BINS, color_histograms, color_similarity


def literal_histogram(image, box):
    x1, y1, x2, y2 = box
    halves = []
    for top, bottom in ((0.15, 0.5), (0.5, 0.85)):
        counts = np.zeros(BINS)
        left, right = (round(min(max(x1 + share * (x2 - x1), 0), image.shape[1])) for share in (0.25, 0.75))
        upper, lower = (round(min(max(y1 + share * (y2 - y1), 0), image.shape[0])) for share in (top, bottom))
        for y in range(upper, lower):
            for x in range(left, right):
                light, a, b = (int(v) for v in cv2.cvtColor(image[y : y + 1, x : x + 1], cv2.COLOR_RGB2LAB)[0, 0])
                bins = [min(max(value - 128 + 48, 0), 95) // 16 for value in (a, b)]
                counts[(light // 32 * 6 + bins[0]) * 6 + bins[1]] += 1
        halves.append(counts / max(1, counts.sum()))
    joined = np.concatenate(halves)
    return joined / max(joined.sum(), 1e-12)


def test_histograms_are_those_of_loops():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
    boxes = np.array([[3.0, 4, 31, 55], [-10, -5, 20, 40], [40, 30, 70, 90]])
    found = color_histograms(image, boxes)
    for row, box in enumerate(boxes):
        np.testing.assert_allclose(found[row], literal_histogram(image, box))
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_a_person_outside_the_image_has_unknown_colors():
    image = np.zeros((20, 20, 3), np.uint8)
    histograms = color_histograms(image, np.array([[100.0, 100, 120, 150], [0, 0, 20, 20]]))
    assert not histograms[0].any()
    np.testing.assert_allclose(color_similarity(histograms[:1], histograms), 1)


def test_colors_tell_people_apart():
    image = np.zeros((100, 80, 3), np.uint8)
    image[:, :40] = (200, 30, 30)
    image[:, 40:] = (30, 30, 200)
    histograms = color_histograms(image, np.array([[0.0, 0, 40, 100], [40, 0, 80, 100]]))
    np.testing.assert_allclose(color_similarity(histograms, histograms), np.eye(2), atol=1e-12)


def test_large_people_are_sampled():
    image = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    image[:, :, 1] = 40
    large = color_histograms(image, np.array([[0.0, 0, 1000, 1000]]))
    part = color_histograms(image, np.array([[400.0, 400, 500, 500]]))
    assert color_similarity(large, part)[0, 0] > 0.9
