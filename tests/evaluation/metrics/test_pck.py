from pathlib import Path

import numpy as np
import pytest

from everypose.errors import EveryposeError
from everypose.evaluation.head_sizes import head_sizes
from everypose.evaluation.metrics.pck import score_hands, score_pckh, tight_sides

GOLDEN = Path(__file__).parents[2] / "golden"


def people(seed, count=30, keypoints=16):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 200, (count, keypoints, 2))
    predicted = true + rng.normal(0, rng.choice([1, 10, 40], (count, keypoints, 1)), true.shape)
    return predicted, true, rng.random((count, keypoints)) < 0.7, rng.uniform(20, 60, count)


def literal_pckh(predicted, true, visible, sizes, threshold):
    """MPII's: a share for each joint, then weighted by the joints' counts; pelvis and thorax left out."""
    shares, counts = [], []
    for k in range(16):
        if k in (6, 7):
            continue
        rows = [n for n in range(len(true)) if visible[n, k]]
        right = [np.hypot(*(predicted[n, k] - true[n, k])) / sizes[n] <= threshold for n in rows]
        shares.append(np.mean(right) if rows else 0.0)
        counts.append(len(rows))
    return sum(s * c for s, c in zip(shares, counts, strict=True)) / sum(counts)


@pytest.mark.parametrize("seed", range(5))
def test_pckh_equals_its_literal_twin(seed):
    predicted, true, visible, sizes = people(seed)
    scores = score_pckh(predicted, true, labeled=visible, head_sizes=sizes)
    assert scores.pckh50 == pytest.approx(literal_pckh(predicted, true, visible, sizes, 0.5), abs=1e-12)
    assert scores.pckh10 == pytest.approx(literal_pckh(predicted, true, visible, sizes, 0.1), abs=1e-12)
    left, right = scores.by_keypoint[[13, 12]]
    assert scores.groups["shoulder"] == pytest.approx((left + right) / 2)


def test_pckh_counts_the_exact_threshold():
    true = np.zeros((1, 16, 2))
    predicted = np.zeros((1, 16, 2))
    predicted[:, 0, 0] = 5.0
    visible = np.zeros((1, 16), bool)
    visible[:, 0] = True
    assert score_pckh(predicted, true, labeled=visible, head_sizes=np.array([10.0])).pckh50 == 1
    assert score_pckh(predicted, true, labeled=visible, head_sizes=np.array([9.99])).pckh50 == 0


def test_head_size_is_0_6_of_the_diagonal():
    assert head_sizes(np.array([[10.0, 20, 40, 60]])).tolist() == [30]


def test_hand_scores_of_the_released_code():
    golden = np.load(GOLDEN / "posebh_pck_auc_epe.npz")
    scores = score_hands(
        golden["met_pred"], golden["met_gt"], labeled=golden["met_mask"], sides=golden["met_bbox"].max(axis=1)
    )
    assert scores.pck == pytest.approx(float(golden["met_pck"]), abs=1e-12)
    assert scores.auc == pytest.approx(float(golden["met_auc30"]), abs=1e-12)
    assert scores.epe == pytest.approx(float(golden["met_epe"]), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_hand_scores_equal_their_literal_twin(seed):
    predicted, true, visible, sides = people(seed, keypoints=21)

    def share(threshold, scale):
        shares = []
        for k in range(21):
            rows = np.flatnonzero(visible[:, k])
            if len(rows):
                shares.append(np.mean([np.hypot(*(predicted[n, k] - true[n, k])) / scale[n] < threshold for n in rows]))
        return np.mean(shares)

    scores = score_hands(predicted, true, labeled=visible, sides=sides)
    assert scores.pck == pytest.approx(share(0.2, sides), abs=1e-12)
    assert scores.auc == pytest.approx(np.mean([share(i / 20, [30] * 30) for i in range(20)]), abs=1e-12)
    distances = [np.hypot(*(predicted[n, k] - true[n, k])) for n, k in np.argwhere(visible)]
    assert scores.epe == pytest.approx(np.mean(distances), abs=1e-12)


def test_tight_sides_look_at_labeled_keypoints_only():
    true = np.array([[[0.0, 0], [30, 10], [500, 500]], [[1, 1], [2, 2], [3, 3]]])
    visible = np.array([[True, True, False], [False, False, False]])
    assert tight_sides(true, visible).tolist() == [30, 0]


@pytest.mark.parametrize(("score", "size"), [(score_pckh, "head_sizes"), (score_hands, "sides")])
def test_nothing_labeled_and_bad_arrays_are_errors(score, size):
    predicted, true, visible, sizes = people(0)
    with pytest.raises(EveryposeError, match="nothing to measure"):
        score(predicted, true, labeled=np.zeros_like(visible), **{size: sizes})
    with pytest.raises(EveryposeError, match="differ in shape"):
        score(predicted[:-1], true, labeled=visible, **{size: sizes})
    predicted[4, 2] = np.nan
    with pytest.raises(EveryposeError, match="prediction 4"):
        score(predicted, true, labeled=visible, **{size: sizes})


def test_a_person_without_head_size_is_an_error():
    predicted, true, visible, sizes = people(0)
    sizes[7] = 0
    with pytest.raises(EveryposeError, match="person 7 has no head size"):
        score_pckh(predicted, true, labeled=visible, head_sizes=sizes)
