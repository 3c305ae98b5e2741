"""Similarities against loops, and the assignment against all possible ones."""

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.tracking.association import assign, covered_share, pair_areas, pose_similarity


def literal_similarity(predicted, detected, area, sigmas, variance):
    total = weights = 0.0
    for (x, y, a), (u, v, b), sigma in zip(predicted, detected, sigmas, strict=True):
        weight = max(min(a, b), 1e-3)
        spread = (2 * sigma) ** 2 * area + variance
        total += weight * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * spread))
        weights += weight
    return total / weights


def test_pose_similarity_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    predicted, detected = rng.uniform(0, 1, (3, 5, 3)), rng.uniform(0, 1, (4, 5, 3))
    predicted[..., :2] *= 100
    detected[..., :2] *= 100
    areas, sigmas, variance = rng.uniform(500, 5000, (3, 4)), rng.uniform(0.02, 0.1, 5), rng.uniform(0, 100, 3)
    found = pose_similarity(predicted, detected, areas=areas, sigmas=sigmas, position_variance=variance)
    for t in range(3):
        for n in range(4):
            np.testing.assert_allclose(
                found[t, n], literal_similarity(predicted[t], detected[n], areas[t, n], sigmas, variance[t])
            )


def test_poses_without_scores_compare_all_keypoints():
    pose = np.zeros((1, 4, 3))
    other = pose.copy()
    other[0, :2, 0] = 1000
    similarity = pose_similarity(
        pose, other, areas=np.ones((1, 1)), sigmas=np.full(4, 0.1), position_variance=np.zeros(1)
    )
    np.testing.assert_allclose(similarity, 0.5)


def test_pair_areas():
    boxes = np.array([[0.0, 0, 10, 20], [0, 0, 20, 20]])
    np.testing.assert_allclose(pair_areas(boxes, boxes[:1]), 0.53 * np.array([[200], [300]]))


def test_covered_share():
    boxes = np.array([[0.0, 0, 10, 10], [100, 100, 110, 110]])
    others = np.array([[5.0, 0, 20, 10], [0, 8, 10, 20]])
    np.testing.assert_allclose(covered_share(boxes, others), [0.5, 0])
    np.testing.assert_allclose(covered_share(boxes, np.zeros((0, 4))), 0)


@settings(deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 10_000))
def test_no_assignment_of_allowed_pairs_is_better(tracks, detections, seed):
    rng = np.random.default_rng(seed)
    similarity, allowed = rng.uniform(0.01, 1, (tracks, detections)), rng.uniform(size=(tracks, detections)) < 0.6
    rows, columns = assign(similarity, allowed)
    assert allowed[rows, columns].all()
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    value = np.where(allowed, similarity, 0)
    if tracks > detections:
        value = value.T
    best = max(
        (
            sum(value[row, column] for row, column in enumerate(order))
            for order in permutations(range(value.shape[1]), value.shape[0])
        ),
        default=0,
    )
    np.testing.assert_allclose(similarity[rows, columns].sum(), best)
